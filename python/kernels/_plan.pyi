# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from torch.nn import Module

from kernels.layer.mode import Mode

_M = TypeVar("_M", bound=Module)

@dataclass(frozen=True)
class Decision:
    paths: tuple[str, ...]
    layer_name: str
    module_class: type[Module]
    device: str
    capability: int | None
    stage: Literal["select", "resolve", "settle", "apply"]
    action: Literal["replace", "keep"]
    reason: str
    message: str
    repo: str | None
    repo_layer: str | None
    repo_mode: Mode | None
    commit: str | None
    variant: str | None
    applied: bool

class Plan:
    def __init__(self, record: Any) -> None: ...
    def __iter__(self) -> Iterator[Decision]: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> Decision: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Decision, ...]: ...
    def to_json(self) -> str: ...
    def apply(self, model: _M) -> _M: ...
