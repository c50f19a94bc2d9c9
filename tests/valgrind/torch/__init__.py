# SPDX-License-Identifier: Apache-2.0
"""As much of torch as the extension meets. The real one takes minutes to import under valgrind."""

from types import SimpleNamespace

from . import nn  # noqa: F401

__version__ = "2.13.0+cpu"
version = SimpleNamespace(cuda=None, hip=None, xpu=None)
backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False))
cuda = SimpleNamespace(is_available=lambda: False)
_C = SimpleNamespace(_get_privateuse1_backend_name=lambda: "privateuseone")


class device:
    def __init__(self, type, index=None):
        self.type, self.index = type, index


def compiled_with_cxx11_abi():
    return True
