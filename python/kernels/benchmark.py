# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of kernels: their base class, running them, and what came of it."""

import json
import statistics
from dataclasses import dataclass

from kernels._table import duration, table


class Benchmark:
    """Base of the classes in a kernel's `benchmarks/`.

    What runs a benchmark sets `kernel` and `device`, calls `setup_<name>` or
    else `setup`, compares what `verify_<name>` returns with `out`, and times
    every method `benchmark_<name>`.

    Attributes:
        seed (`int` or `None`): Set on the class: seeds torch before `setup`.
        device (`str`): The device to run on.
        kernel (`ModuleType`): The kernel.
        out (`torch.Tensor`): Where a benchmark leaves its result.

    Example:
        >>> from kernels import Benchmark
        >>> class SiluBenchmark(Benchmark):
        ...     seed = 42
        ...     def setup(self):
        ...         self.x = 1
        ...     def benchmark_silu(self):
        ...         self.out = self.kernel.silu(self.x)
        >>> SiluBenchmark().device
        'cpu'
    """

    seed = None
    device = "cpu"

    def __init__(self):
        self.kernel = None
        self.out = None

    def setup(self):
        """Makes what the benchmarks need, as attributes. To be overridden."""


@dataclass(frozen=True)
class BenchmarkResult:
    """What came of one method `benchmark_<name>`.

    Attributes:
        workload (`str`): The class and the name, "SiluBenchmark.small".
        verified (`bool` or `None`): Whether the result was that of
            `verify_<name>`; `None` where there is no such method.
        problem (`str` or `None`): Why not, as a sentence.
        seconds (`tuple[float, ...]`): How long each call took; empty where
            some workload was wrong, since nothing is timed then.
        reference_seconds (`tuple[float, ...]`): The same of `verify_<name>`.
        copy_seconds (`tuple[float, ...]`): The same of a copy that reads and
            writes as many bytes together.
        bytes (`int` or `None`): How many bytes a call reads and writes, as
            `bytes_<name>` says; `None` where there is no such method.

    Example:
        >>> from kernels.benchmark import BenchmarkResult
        >>> result = BenchmarkResult(
        ...     "Silu.small", True, None, (0.5,), (1.0,), (0.25,), 10**9
        ... )
        >>> result.speedup, result.bytes_per_second, result.copy_share
        (2.0, 2000000000.0, 0.5)
    """

    workload: str
    verified: bool | None
    problem: str | None = None
    seconds: tuple = ()
    reference_seconds: tuple = ()
    copy_seconds: tuple = ()
    bytes: int | None = None

    @property
    def median(self):
        """The median of `seconds`, or `None`."""
        return _median(self.seconds)

    @property
    def speedup(self):
        """How many times as long the reference takes, or `None`."""
        return _ratio(_median(self.reference_seconds), self.median)

    @property
    def bytes_per_second(self):
        """How many bytes it reads and writes in a second, or `None`."""
        return _ratio(self.bytes, self.median)

    @property
    def copy_share(self):
        """The time of the copy as a share of the kernel's, or `None`."""
        return _ratio(_median(self.copy_seconds), self.median)


class BenchmarkReport:
    """What `run_benchmarks` found.

    `str(report)` is a table; of workloads with wrong results, where there are
    any, and then nothing was timed.

    Attributes:
        results (`tuple[BenchmarkResult, ...]`): One for each workload.
        machine (`dict[str, str]`): "gpu", "backend", "pytorchVersion", "os"
            and "cpu".
        digest (`str`): The SHA-256 of the scripts.
        commit (`str`): That of the repository of the Hub; "" for a kernel from
            elsewhere.

    Example:
        >>> from kernels.benchmark import BenchmarkReport, BenchmarkResult
        >>> wrong = BenchmarkResult("Silu.small", False, "off by 1")
        >>> report = BenchmarkReport([wrong], {}, "")
        >>> report.ok
        False
        >>> print(report)
        workload    verified  problem
        Silu.small  no        off by 1
    """

    __slots__ = ("results", "machine", "digest", "commit")

    def __init__(self, results, machine, digest, commit=""):
        self.results = tuple(results)
        self.machine = dict(machine)
        self.digest = digest
        self.commit = commit

    @property
    def ok(self):
        """Whether no result is wrong."""
        return all(result.verified is not False for result in self.results)

    def to_json(self):
        """Returns the report as a JSON document; docs/cli.md has the schema."""
        document = {
            "results": [_record(each) for each in sorted(self.results, key=lambda r: r.workload)],
            "machineInfo": self.machine,
            "kernelCommitSha": self.commit,
            "benchmarkScriptPath": "benchmarks",
            "benchmarkScriptSha": self.digest,
        }
        return json.dumps(document, indent=2)

    def __str__(self):
        if not self.ok:
            wrong = [each for each in self.results if each.verified is False]
            return table(
                ("workload", "verified", "problem"),
                [(each.workload, "no", each.problem or "") for each in wrong],
            )
        headings = ("workload", "verified", "calls", "median", "spread", "bytes", "GB/s")
        return table((*headings, "of a copy", "reference", "speed-up"), map(_row, self.results))

    def __repr__(self):
        return f"<kernels.BenchmarkReport of {len(self.results)} workloads, ok={self.ok}>"


def run_benchmarks(
    path=None,
    *,
    repo_id=None,
    revision=None,
    version=None,
    trust_remote_code=False,
    iterations=100,
    warmup=10,
):
    """Runs the benchmarks of a kernel: compares all results first, then takes
    times, the kernel, its reference and a copy in turns.

    Args:
        path (`Path` or `str`, *optional*): The directory of a repository with
            `benchmarks/benchmark*.py`, whose code is run. Without this and
            `repo_id` it is the kernels that ship with this package.
        repo_id (`str`, *optional*): A repository of the Hub, whose
            `benchmarks/` is fetched, verified and run with the kernel of the
            same commit; or "builtin/norm" and its like.
        revision, version, trust_remote_code: As for `kernels.get_kernel`.
        iterations (`int`, *optional*, defaults to 100): How often each is
            timed.
        warmup (`int`, *optional*, defaults to 10): How often each is called
            before that.

    Returns:
        `BenchmarkReport`: With a result for each workload.

    Raises:
        FileNotFoundError: When there are no benchmarks, or no build of the
            kernel runs here.
        ValueError: When a script has no benchmarks, for a number that makes
            no sense, for both `path` and `repo_id`, and for a publisher that
            is not trusted.
        OSError: As for `kernels.get_kernel`.

    Example:
        >>> from kernels.benchmark import run_benchmarks
        >>> run_benchmarks("/no/such/kernel")
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    from kernels import _benchmark_run

    _check_counts(iterations, warmup)
    if repo_id is not None and path is not None:
        raise ValueError("Only one of `path` or `repo_id` must be specified.")
    if repo_id is not None:
        suite = _benchmark_run.hub_suite(
            repo_id, revision=revision, version=version, trust_remote_code=trust_remote_code
        )
    elif path is not None:
        suite = _benchmark_run.folder_suite(path)
    else:
        suite = _benchmark_run.builtin_suite()
    return suite.run(iterations, warmup)


def _check_counts(iterations, warmup):
    if iterations < 1 or warmup < 0:
        raise ValueError(
            f"iterations must be 1 or more and warmup 0 or more, not {iterations} and {warmup}"
        )


def _median(seconds):
    return statistics.median(seconds) if seconds else None


def _ratio(above, below):
    return above / below if above is not None and below else None


def _quartiles(seconds):
    """The first and third quartile, with both ends included."""
    if len(seconds) < 2:
        return seconds[0], seconds[0]
    first, _, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return first, third


def _row(result):
    def text(value, form):
        return "-" if value is None else form.format(value)

    first, third = _quartiles(result.seconds)
    rate = result.bytes_per_second
    return (
        result.workload,
        "-" if result.verified is None else "yes",
        str(len(result.seconds)),
        duration(result.median),
        duration(third - first),
        text(result.bytes, "{}"),
        text(rate and rate / 1e9, "{:.1f}"),
        text(result.copy_share, "{:.0%}"),
        duration(_median(result.reference_seconds)),
        text(result.speedup, "{:.2f} x"),
    )


def _timing(seconds):
    first, third = _quartiles(seconds)
    margin = 1.5 * (third - first)
    return {
        "mean_ms": statistics.fmean(seconds) * 1e3,
        "std_ms": statistics.pstdev(seconds) * 1e3,
        "min_ms": min(seconds) * 1e3,
        "max_ms": max(seconds) * 1e3,
        "q1_ms": first * 1e3,
        "q3_ms": third * 1e3,
        "iqr_ms": (third - first) * 1e3,
        "outliers": sum(not first - margin <= each <= third + margin for each in seconds),
        "iterations": len(seconds),
        "median_ms": statistics.median(seconds) * 1e3,
    }


def _record(result):
    """A workload as upstream's documents have it, with members behind that."""
    record = {"workload": result.workload}
    record["timingResults"] = _timing(result.seconds) if result.seconds else None
    if result.verified is not None:
        record["verified"] = result.verified
    if result.problem is not None:
        record["problem"] = result.problem
    reference, copied = _median(result.reference_seconds), _median(result.copy_seconds)
    return record | {
        "bytes": result.bytes,
        "bytes_per_second": result.bytes_per_second,
        "copy_ms": copied and copied * 1e3,
        "copy_share": result.copy_share,
        "reference_ms": reference and reference * 1e3,
        "speedup": result.speedup,
    }
