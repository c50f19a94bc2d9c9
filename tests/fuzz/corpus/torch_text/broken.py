__version__ = '2.9.0
cuda = '13\x30'
hip = 6.4
xpu = ''
__version__x = '1'
cuda='99999999999.0'