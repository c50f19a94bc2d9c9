# SPDX-License-Identifier: Apache-2.0
"""The mapping in force, to be read under upstream's name."""

import os

from kernels import _core
from kernels.layer.repos import DeviceRepos


class _MappingInForce:
    """`get()` is a snapshot, `{layer: {device type: DeviceRepos}}`, that can be changed without changing anything else:
    :func:`kernels.register_kernel_mapping` and :class:`kernels.use_kernel_mapping` change what is in force."""

    __slots__ = ()
    name = "_KERNEL_MAPPING"

    def get(self):
        mapping = _core.current_mapping()
        found = {}
        for layer, device_type, *_ in mapping.entries():
            repos = found.setdefault(layer, {})
            if device_type not in repos:
                repos[device_type] = DeviceRepos(device_type, mapping, layer)
        return found


_KERNEL_MAPPING = _MappingInForce()


def __getattr__(name):
    # The environment is read at each call.
    if name == "_DISABLE_KERNEL_MAPPING":
        return bool(int(os.environ.get("DISABLE_KERNEL_MAPPING", "0")))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
