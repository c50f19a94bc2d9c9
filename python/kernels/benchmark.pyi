# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

class Benchmark:
    seed: int | None
    device: str
    kernel: Any
    out: Any
    def __init__(self) -> None: ...
    def setup(self) -> None: ...

@dataclass(frozen=True)
class BenchmarkResult:
    workload: str
    verified: bool | None
    problem: str | None = None
    seconds: tuple[float, ...] = ()
    reference_seconds: tuple[float, ...] = ()
    copy_seconds: tuple[float, ...] = ()
    bytes: int | None = None
    @property
    def median(self) -> float | None: ...
    @property
    def speedup(self) -> float | None: ...
    @property
    def bytes_per_second(self) -> float | None: ...
    @property
    def copy_share(self) -> float | None: ...

class BenchmarkReport:
    results: tuple[BenchmarkResult, ...]
    machine: dict[str, str]
    digest: str
    commit: str
    def __init__(
        self,
        results: Iterable[BenchmarkResult],
        machine: Mapping[str, str],
        digest: str,
        commit: str = "",
    ) -> None: ...
    @property
    def ok(self) -> bool: ...
    def to_json(self) -> str: ...

def run_benchmarks(
    path: str | PathLike[str] | None = None,
    *,
    repo_id: str | None = None,
    revision: str | None = None,
    version: int | str | None = None,
    trust_remote_code: bool | list[str] = False,
    iterations: int = 100,
    warmup: int = 10,
) -> BenchmarkReport: ...
