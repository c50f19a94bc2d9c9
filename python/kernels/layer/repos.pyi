# SPDX-License-Identifier: Apache-2.0
from collections.abc import Mapping
from typing import Protocol

from torch.nn import Module

from kernels.layer.device import Device
from kernels.layer.mode import Mode

class RepositoryProtocol(Protocol):
    def load(self) -> type[Module]: ...

class LayerRepositoryProtocol(RepositoryProtocol, Protocol):
    @property
    def layer_name(self) -> str: ...

class FuncRepositoryProtocol(RepositoryProtocol, Protocol):
    @property
    def func_name(self) -> str: ...

class DeviceRepos:
    @staticmethod
    def create_repo(device: Device) -> DeviceRepos: ...
    def insert(self, device: Device, repos: Mapping[Mode, RepositoryProtocol]) -> None: ...
    @property
    def repos(self) -> dict[Mode, RepositoryProtocol] | None: ...
