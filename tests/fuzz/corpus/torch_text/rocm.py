__version__ = "2.9.0"
cuda = None
hip = "6.4.43482-0f2d60242"
