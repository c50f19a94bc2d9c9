# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import Tensor
from torch.nn import Module

_Inputs: TypeAlias = Tensor | tuple[Any, ...] | Mapping[str, Any] | Callable[[Any], Any]

@dataclass(frozen=True)
class LayerNumerics:
    path: str
    layer_name: str
    module_class: type[Module]
    repo: str | None
    repo_layer: str | None
    verdict: Literal["same", "differs", "failed", "not-called"]
    message: str
    calls: int
    absolute_error: float | None
    relative_error: float | None
    ulps: float | None
    where: str | None
    dtype: str | None
    rtol: float | None
    atol: float | None
    kernel_seconds: float
    original_seconds: float
    restored: bool = False

class NumericsReport:
    layers: tuple[LayerNumerics, ...]
    strict: bool
    def __init__(self, layers: tuple[LayerNumerics, ...], strict: bool = False) -> None: ...
    @property
    def ok(self) -> bool: ...
    @property
    def differing(self) -> tuple[str, ...]: ...
    def to_json(self) -> str: ...

def verify_numerics(
    model: Module,
    inputs: _Inputs,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    strict: bool = False,
) -> NumericsReport: ...
