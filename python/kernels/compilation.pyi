# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass
from typing import Literal

from torch.nn import Module

from kernels.numerics import _Inputs

@dataclass(frozen=True)
class CompileResult:
    paths: tuple[str, ...]
    module_class: type[Module]
    repo: str | None
    repo_layer: str | None
    verdict: Literal["compiles", "breaks", "differs", "recompiles", "failed", "not-called"]
    message: str
    fullgraph: bool | None = None
    graphs: int = 0
    breaks: tuple[str, ...] = ()
    recompiles: int | None = None
    batch_sizes: tuple[int, ...] = ()
    batch_recompiles: tuple[int, ...] = ()
    absolute_error: float | None = None
    relative_error: float | None = None
    ulps: float | None = None

class CompileReport:
    results: tuple[CompileResult, ...]
    backend: str
    def __init__(self, results: tuple[CompileResult, ...], backend: str) -> None: ...
    @property
    def ok(self) -> bool: ...
    def to_json(self) -> str: ...

def compile_check(
    layer_or_model: type[Module] | Module,
    inputs: _Inputs | None = None,
    *,
    backend: str = "aot_eager",
    rtol: float | None = None,
    atol: float | None = None,
) -> CompileReport: ...
