__version__ = '2.9.0+xpu'
xpu: Optional[str] = '20250302'  # a date
