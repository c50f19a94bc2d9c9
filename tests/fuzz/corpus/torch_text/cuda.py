__version__ = '2.10.0+cu130'
cuda: Optional[str] = '13.0'
hip: Optional[str] = None
