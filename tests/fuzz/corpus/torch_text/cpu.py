from typing import Optional

__all__ = ['__version__', 'debug']
__version__ = '2.13.0+cpu'
debug = False
cuda: Optional[str] = None
git_version = 'cf30'
hip: Optional[str] = None
xpu: Optional[str] = None
