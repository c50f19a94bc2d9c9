# SPDX-License-Identifier: Apache-2.0
"""Repositories by device: the types for annotations, and the set that `Device.create_repo` gives."""

from typing import Protocol

from kernels import _core
from kernels.layer.device import Device
from kernels.layer.mode import Mode

_CAPABILITY_UNKNOWN = -2


class RepositoryProtocol(Protocol):
    """Anything that a mapping can hold: `load` returns a subclass of `torch.nn.Module`."""

    def load(self): ...


class LayerRepositoryProtocol(RepositoryProtocol, Protocol):
    """A repository that gives a layer by name."""

    @property
    def layer_name(self) -> str: ...


class FuncRepositoryProtocol(RepositoryProtocol, Protocol):
    """A repository that gives a function by name."""

    @property
    def func_name(self) -> str: ...


class DeviceRepos:
    """The repositories for one type of device, by capability and mode. Made by `Device.create_repo`."""

    def __init__(self, device_type: str, mapping=None, layer=""):
        self._type = device_type
        self._layer = layer
        # Registering nothing checks the type.
        self._mapping = mapping or _core.empty_mapping().extend({layer: {device_type: {}}})
        self._inserted = mapping is not None

    @staticmethod
    def create_repo(device: Device) -> "DeviceRepos":
        """Returns an empty set for the type of `device`; ValueError for an unknown type."""
        return DeviceRepos(device.type)

    def insert(self, device: Device, repos):
        """Sets the repositories, `{mode: repository}`, for `device`; those of the same range are replaced.

        Raises:
            ValueError: When `device` is of another type.
        """
        if device.type != self._type:
            raise ValueError(f"Device type must be '{self._type}', got {device.type}")
        base = self._mapping if self._inserted else _core.empty_mapping()
        self._mapping = base.extend({self._layer: {device: repos}})
        self._inserted = True

    @property
    def repos(self) -> "dict[Mode, RepositoryProtocol] | None":
        """The repositories for the capability of the current device, or None where it cannot be asked or none of
        the ranges holds it."""
        capability = None
        if self._type in ("cuda", "rocm"):
            from kernels import _torch

            capability = _torch.capability(self._type)
            if capability is None or not self._inserted:
                return None
        known = _CAPABILITY_UNKNOWN if capability is None else capability
        return self._mapping.modes(self._layer, self._type, known)
