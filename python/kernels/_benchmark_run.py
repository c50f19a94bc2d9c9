# SPDX-License-Identifier: Apache-2.0
"""Finds benchmarks, compares their results, and takes times."""

import hashlib
import importlib.util
import os
import platform
import random
import sys
import time
from pathlib import Path

import torch

from kernels import _core
from kernels._builtin import REPOSITORIES
from kernels._source import Source
from kernels.backends import _backend
from kernels.benchmark import Benchmark, BenchmarkReport, BenchmarkResult
from kernels.load import get_kernel, get_local_kernel

# What upstream's runner compares with; a class may set others.
_RTOL, _ATOL = 1e-5, 1e-2
_DEVICES = {"rocm": "cuda", "metal": "mps", "cann": "npu"}  # by backend, where its name is another
_PREFIX = "benchmark_"


def _scripts(folder, repo):
    found = sorted((folder / "benchmarks").glob("benchmark*.py"))
    if not found:
        raise FileNotFoundError(
            f"there are no benchmarks in '{repo}': expected files benchmarks/benchmark*.py with "
            "subclasses of kernels.Benchmark"
        )
    return found


def _import_script(script):
    """The module of a script, which sees the folder of its repository as the working directory."""
    name = f"_kernels_benchmarks_{script.stem}"
    spec = importlib.util.spec_from_file_location(name, script)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    before = os.getcwd()
    os.chdir(script.parents[1])
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise ImportError(f"'{script}' cannot be imported: {error}") from error
    finally:
        os.chdir(before)
    return module


def _classes(module):
    """The benchmarks that a module defines, by name."""
    found = [
        value
        for _, value in sorted(vars(module).items())
        if isinstance(value, type)
        and issubclass(value, Benchmark)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if not found:
        raise ValueError(f"there is no subclass of kernels.Benchmark in '{module.__file__}'")
    return found


class Workload:
    """A method `benchmark_<name>` with the methods that go with it."""

    def __init__(self, cls, name, kernel, device):
        self.cls, self.name, self.kernel, self.device = cls, name, kernel, device
        self.title = f"{cls.__name__}.{name}"

    def prepare(self):
        """A benchmark that is set up."""
        benchmark = self.cls()
        benchmark.kernel, benchmark.device = self.kernel, self.device
        if benchmark.seed is not None:
            torch.manual_seed(benchmark.seed)
            random.seed(benchmark.seed)
        getattr(benchmark, f"setup_{self.name}", benchmark.setup)()
        return benchmark

    def method(self, benchmark, kind):
        return getattr(benchmark, f"{kind}_{self.name}", None)

    def verify(self):
        """The result without times."""
        benchmark = self.prepare()
        reference = self.method(benchmark, "verify")
        if reference is None:
            return BenchmarkResult(self.title, None)
        self.method(benchmark, "benchmark")()
        problem = _difference(benchmark, reference())
        return BenchmarkResult(self.title, problem is None, problem)

    def measure(self, verified, iterations, warmup, clock):
        """The result of a workload that is right or has nothing to compare with."""
        benchmark = self.prepare()
        size = self.method(benchmark, "bytes")
        size = None if size is None else size()
        ways = {"kernel": self.method(benchmark, "benchmark")}
        ways["reference"] = self.method(benchmark, "verify")
        ways["copy"] = None if size is None else copy_of(size, self.device)
        ways = {name: way for name, way in ways.items() if way is not None}
        seconds = interleaved(ways, iterations, warmup, clock)
        return BenchmarkResult(
            self.title,
            verified,
            None,
            seconds["kernel"],
            seconds.get("reference", ()),
            seconds.get("copy", ()),
            size,
        )


def _difference(benchmark, expected):
    """Why the result is wrong; None where it is right."""
    rtol, atol = getattr(benchmark, "rtol", _RTOL), getattr(benchmark, "atol", _ATOL)
    results, references = benchmark.out, expected
    if isinstance(expected, torch.Tensor):
        results, references = (results,), (references,)
    for result, reference in zip(results, references, strict=True):
        if not isinstance(result, torch.Tensor):
            return f"the benchmark left {type(result).__name__} in `out`; a tensor is needed"
        try:
            if torch.allclose(result, reference, rtol=rtol, atol=atol):
                continue
        except RuntimeError as error:  # of other types or shapes
            return str(error).splitlines()[0]
        most = (result.double() - reference.double()).abs().max().item()
        return f"off by up to {most:.2g}; rtol {rtol:g} and atol {atol:g} are allowed"
    return None


def copy_of(byte_count, device):
    """Copies half as many bytes, so that as many are read and written together."""
    source = torch.zeros(max(1, byte_count // 8), device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def _synchronize():
    for name in ("cuda", "xpu", "mps"):
        device = getattr(torch, name, None)
        if device is not None and device.is_available():
            device.synchronize()
            return


def interleaved(ways, iterations, warmup, clock=time.perf_counter):
    """{name: seconds of each call} of ways that take turns, after `warmup` calls of each."""
    for _ in range(warmup):
        for way in ways.values():
            way()
    _synchronize()
    seconds = {name: [] for name in ways}
    for _ in range(iterations):
        for name, way in ways.items():
            start = clock()
            way()
            _synchronize()
            seconds[name].append(clock() - start)
    return {name: tuple(each) for name, each in seconds.items()}


def _machine():
    backend = _backend()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "N/A"
    version = getattr(backend, "version", None)
    return {
        "gpu": gpu,
        "backend": f"{backend.name} {version}" if version else backend.name,
        "pytorchVersion": torch.__version__,
        "os": f"{platform.system()} {platform.release()}",
        "cpu": platform.processor() or platform.machine() or "Unknown",
    }


def _device_of(kernel):
    """The environment's, but for a build for CPUs, which is what may be there of the kernels that ship here."""
    if "cpu" in Path(kernel.__file__).parent.name.split("-"):
        return "cpu"
    backend = _backend().name
    return _DEVICES.get(backend, backend)


def _workloads(classes, kernel):
    """Those of each class, by name."""
    device = _device_of(kernel)
    for cls in classes:
        names = [name for name in dir(cls) if name.startswith(_PREFIX)]
        names = [name for name in names if callable(getattr(cls, name))]
        if not names:
            raise ValueError(f"{cls.__name__} has no method benchmark_<name>")
        for name in names:
            yield Workload(cls, name.removeprefix(_PREFIX), kernel, device)


def measure_all(workloads, iterations, warmup, clock=time.perf_counter):
    """Results of all workloads; without times where one is wrong."""
    results = [workload.verify() for workload in workloads]
    if any(result.verified is False for result in results):
        return results
    return [
        workload.measure(result.verified, iterations, warmup, clock)
        for workload, result in zip(workloads, results, strict=True)
    ]


class Suite:
    """Benchmarks that were found; `commit`: the kernel's, "" for none."""

    def __init__(self, scripts, workloads, commit=""):
        self.scripts, self.workloads, self.commit = scripts, workloads, commit

    def run(self, iterations, warmup):
        results = measure_all(self.workloads, iterations, warmup)
        digest = hashlib.sha256(b"".join(script.read_bytes() for script in self.scripts))
        return BenchmarkReport(results, _machine(), digest.hexdigest(), self.commit)


def _suite(scripts, kernel, commit=""):
    classes = [cls for script in scripts for cls in _classes(_import_script(script))]
    return Suite(scripts, list(_workloads(classes, kernel)), commit)


def folder_suite(path):
    """Those in the directory of a repository."""
    folder = Path(path).resolve()
    return _suite(_scripts(folder, folder), get_local_kernel(folder))


def hub_suite(repo_id, *, trust_remote_code=False, refresh=False, **at):
    """Those of a repository of the Hub, with the kernel at the same commit. `at`: revision or version."""
    source = Source.hub(repo_id, trust_remote_code=trust_remote_code, refresh=refresh, **at)
    folder, repo, commit = _core.fetch_folder(source, "benchmarks")
    scripts = _scripts(Path(folder).parent, repo_id)
    if commit is not None:
        repo_id, at = repo, {"revision": commit}
    kernel = get_kernel(repo_id, trust_remote_code=trust_remote_code, **at)
    return _suite(scripts, kernel, commit or "")


def builtin_suite():
    """Those of all kernels that ship with this package."""
    suites = [hub_suite(repo_id) for repo_id in REPOSITORIES]
    scripts = [script for suite in suites for script in suite.scripts]
    return Suite(scripts, [workload for suite in suites for workload in suite.workloads])
