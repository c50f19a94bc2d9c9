# SPDX-License-Identifier: Apache-2.0
"""Benchmarks in upstream's form: what is compared, what is timed, and what is told of it."""

import json
import subprocess
import sys
import types
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from kernels import _benchmark_command, _benchmark_run
from kernels._benchmark_plot import check_plot, svg, write_plot
from kernels.backends import ROCm
from kernels.benchmark import BenchmarkReport, BenchmarkResult, run_benchmarks
from kernels.variants import Version

KERNEL = """
import torch

def double(out, x):
    torch.mul(x, 2, out=out)
"""

# As it would lie in a repository of the Hub: it also runs under upstream's package.
SCRIPT = """
import torch

from kernels.benchmark import Benchmark


class DoubleBenchmark(Benchmark):
    seed: int = 42

    def setup(self):
        self.x = torch.randn(4, 8, device=self.device)
        self.out = torch.empty(4, 8, device=self.device)

    def benchmark_plain(self):
        self.kernel.double(self.out, self.x)

    def verify_plain(self) -> torch.Tensor:
        return self.x + self.x

    def setup_unverified(self):
        self.setup()
        self.was_set_up = True

    def benchmark_unverified(self):
        assert self.was_set_up
        self.kernel.double(self.out, self.x)
"""

WRONG = """
import torch

from kernels import Benchmark


class WrongBenchmark(Benchmark):
    def setup(self):
        self.out = torch.zeros(3)
        self.calls = 0

    def benchmark_value(self):
        self.calls += 1
        assert self.calls == 1, "it was timed"

    def verify_value(self):
        return torch.full((3,), 0.5)

    def benchmark_shape(self):
        pass

    def verify_shape(self):
        return torch.zeros(2)
"""


@pytest.fixture
def repository(tmp_path):
    """make(script, ...) writes a repository with these benchmarks."""

    def make(*scripts):
        folder = tmp_path / "toy"
        variant = folder / "build/torch-universal"
        variant.mkdir(parents=True)
        about = {"id": f"_toy_benchmarked_{tmp_path.name}", "name": "toy", "version": 1}
        (variant / "metadata.json").write_text(json.dumps(about))
        (variant / "__init__.py").write_text(KERNEL)
        (folder / "benchmarks").mkdir()
        for number, script in enumerate(scripts):
            (folder / f"benchmarks/benchmark_{number}.py").write_text(script)
        return folder

    return make


def test_a_benchmark_in_upstreams_form_runs_as_it_stands(repository):
    report = run_benchmarks(repository(SCRIPT), iterations=3, warmup=1)
    plain, unverified = report.results
    assert (plain.workload, plain.verified) == ("DoubleBenchmark.plain", True)
    assert (unverified.workload, unverified.verified) == ("DoubleBenchmark.unverified", None)
    assert [len(plain.seconds), len(plain.reference_seconds), len(plain.copy_seconds)] == [3, 3, 0]
    assert (len(unverified.seconds), unverified.reference_seconds) == (3, ())
    assert (plain.bytes, plain.copy_share, unverified.speedup) == (None, None, None)
    assert report.ok


def test_the_same_script_runs_under_upstreams_class(peer, repository):
    folder = repository(SCRIPT)
    program = """
import importlib.util, json, sys, types, torch
spec = importlib.util.spec_from_file_location("benchmark_module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
benchmark = module.DoubleBenchmark()
benchmark.kernel = types.SimpleNamespace(double=lambda out, x: torch.mul(x, 2, out=out))
torch.manual_seed(benchmark.seed)
benchmark.setup()
benchmark.benchmark_plain()
print(torch.allclose(benchmark.out, benchmark.verify_plain(), atol=1e-2), benchmark.device)
"""
    done = subprocess.run(
        [peer, "-I", "-c", program, str(folder / "benchmarks/benchmark_0.py")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("True cpu\n", 0), done.stderr


def test_wrong_results_are_told_first_and_nothing_is_timed(repository, capsys):
    folder = repository(SCRIPT, WRONG)
    assert _benchmark_command.main([str(folder), "--iterations", "2"]) == 1
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0].split() == ["workload", "verified", "problem"]
    assert lines[1].startswith("WrongBenchmark.shape  no")
    assert "off by up to 0.5; rtol 1e-05 and atol 0.01 are allowed" in lines[2]
    assert len(lines) == 3
    assert "no times were taken" in told.err
    report = run_benchmarks(folder, iterations=2)
    assert not report.ok
    assert {result.seconds for result in report.results} == {()}


def test_not_a_number_is_wrong():
    class Broken(_benchmark_run.Benchmark):
        def benchmark_it(self):
            self.out = torch.tensor([float("nan")])

        def verify_it(self):
            return torch.tensor([float("nan")])

    workload = _benchmark_run.Workload(Broken, "it", None, "cpu")
    assert workload.verify().verified is False


class Clock:
    """A clock that only benchmarks move."""

    now = 0.0

    def __call__(self):
        return self.now


def test_bytes_and_rates_are_those_of_the_clock():
    clock = Clock()

    class Timed(_benchmark_run.Benchmark):
        def setup(self):
            self.out = torch.zeros(1)

        def benchmark_it(self):
            clock.now += 0.25

        def verify_it(self):
            clock.now += 1.0
            return torch.zeros(1)

        def bytes_it(self):
            return 4_000_000_000

    workload = _benchmark_run.Workload(Timed, "it", None, "cpu")
    real, _benchmark_run.copy_of = _benchmark_run.copy_of, copy_on(clock)
    try:
        (result,) = _benchmark_run.measure_all([workload], 3, 1, clock)
    finally:
        _benchmark_run.copy_of = real
    assert result == BenchmarkResult(
        "Timed.it", True, None, (0.25,) * 3, (1.0,) * 3, (0.125,) * 3, 4_000_000_000
    )
    assert (result.median, result.speedup) == (0.25, 4.0)
    assert (result.bytes_per_second, result.copy_share) == (16e9, 0.5)
    report = BenchmarkReport([result], {"backend": "cpu"}, "abc")
    rows = [line.split() for line in str(report).splitlines()]
    assert rows[1] == [
        *("Timed.it", "yes", "3", "250", "ms", "0", "us", "4000000000", "16.0", "50%"),
        *("1", "s", "4.00", "x"),
    ]


def copy_on(clock):
    def copy_of(byte_count, device):
        assert (byte_count, device) == (4_000_000_000, "cpu")

        def copy():
            clock.now += 0.125

        return copy

    return copy_of


def test_a_build_for_cpus_is_measured_there(monkeypatch):
    monkeypatch.setattr(_benchmark_run, "_backend", lambda: ROCm(Version("7.1")))
    for variant, device in (
        ("torch-stable-abi210-cpu-x86_64-linux", "cpu"),
        ("torch-cpu", "cpu"),
        ("torch210-cxx11-rocm71-x86_64-linux", "cuda"),
        ("torch-universal", "cuda"),
    ):
        kernel = types.SimpleNamespace(__file__=f"/norm/build/{variant}/__init__.py")
        assert _benchmark_run._device_of(kernel) == device


def test_ways_take_turns():
    order = []
    ways = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    _benchmark_run.interleaved(ways, 2, 1)
    assert order == ["a", "b", "a", "b", "a", "b"]


def test_a_copy_reads_and_writes_the_bytes_together():
    copied = _benchmark_run.copy_of(64, "cpu")()
    assert copied.numel() * copied.element_size() == 32


TIMES = BenchmarkResult("A<B.c", True, None, (0.002, 0.001, 0.004), (0.006,), (0.001,), 1000)


def test_json_has_upstreams_members_and_more():
    report = BenchmarkReport([TIMES], {"cpu": "x86_64"}, "abc")
    text = report.to_json()
    found = json.loads(text)
    assert text == json.dumps(found, indent=2)
    assert found["machineInfo"] == {"cpu": "x86_64"}
    assert (found["benchmarkScriptPath"], found["benchmarkScriptSha"]) == ("benchmarks", "abc")
    (entry,) = found["results"]
    times = entry["timingResults"]
    assert (entry["workload"], entry["verified"], entry["bytes"]) == ("A<B.c", True, 1000)
    assert (times["min_ms"], times["max_ms"], times["median_ms"]) == (1.0, 4.0, 2.0)
    assert (times["q1_ms"], times["q3_ms"], times["iqr_ms"]) == (1.5, 3.0, 1.5)
    assert (times["iterations"], times["outliers"]) == (3, 0)
    assert times["mean_ms"] == pytest.approx(7 / 3)
    assert times["std_ms"] == pytest.approx(1.2472191289)
    assert (entry["speedup"], entry["copy_share"], entry["bytes_per_second"]) == (3.0, 0.5, 5e5)
    assert (entry["reference_ms"], entry["copy_ms"]) == (6.0, 1.0)


def test_the_picture_is_well_formed_and_has_every_bar():
    root = ElementTree.fromstring(svg(BenchmarkReport([TIMES], {}, "")))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    texts = [each.text for each in root.iter(f"{space}text")]
    assert texts[1:] == ["A<B.c", "kernel, 2 ms", "reference, 6 ms", "copy, 1 ms"]
    lengths = [float(each.get("width")) for each in list(root.iter(f"{space}rect"))[1:]]
    assert lengths == [133.3, 400.0, 66.7]


def test_the_picture_as_png_shows_every_bar(tmp_path):
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    write_plot(BenchmarkReport([TIMES], {}, ""), tmp_path / "times.png")
    assert (tmp_path / "times.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    picture = imread(tmp_path / "times.png")[..., :3]

    def longest(colour):
        """Of the rows of pixels, the most of this colour."""
        return (abs(picture - to_rgb(colour)) < 0.01).all(-1).sum(-1).max()

    kernel, reference, copy = (longest(c) for c in ("#2563eb", "#94a3b8", "#cbd5e1"))
    assert reference == pytest.approx(3 * kernel, rel=0.05)
    assert copy == pytest.approx(kernel / 2, rel=0.05)
    assert kernel > 50


def test_a_plot_that_cannot_be_made_is_refused_before_anything_runs(monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"named \.svg or \.png, not 'times\.gif'"):
        check_plot("times.gif")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert _benchmark_command.main(["--builtin", "--plot", "times.png"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "'times.png' needs matplotlib, which is not installed" in told.err
    assert ".svg" in told.err


def test_what_is_no_benchmark_is_refused(tmp_path, repository):
    with pytest.raises(FileNotFoundError, match=r"expected files benchmarks/benchmark\*\.py"):
        run_benchmarks(tmp_path)
    with pytest.raises(ValueError, match="no subclass of kernels.Benchmark"):
        run_benchmarks(repository("from kernels import Benchmark\n"))
    with pytest.raises(ValueError, match="iterations must be 1 or more"):
        run_benchmarks(iterations=0)


def test_first_party_kernels_are_right_and_say_their_bytes():
    report = run_benchmarks(iterations=1, warmup=0)
    assert report.ok, str(report)
    bytes_of = {result.workload: result.bytes for result in report.results}
    assert bytes_of == {
        "ActivationBenchmark.silu_and_mul": 100663296,
        "ActivationBenchmark.gelu_and_mul": 100663296,
        "ActivationBfloat16Benchmark.silu_and_mul": 50331648,
        "ActivationBfloat16Benchmark.gelu_and_mul": 50331648,
        "LossBenchmark.cross_entropy_and_gradient": 67108864,
        "MlpBenchmark.silu_mul": 100663296,
        "NormBenchmark.layer_norm": 67108864,
        "NormBenchmark.rms_norm": 67108864,
        "NormBfloat16Benchmark.layer_norm": 33554432,
        "NormBfloat16Benchmark.rms_norm": 33554432,
        "RotaryBenchmark.q_and_k": 85983232,
    }
    assert all(result.copy_share and result.speedup for result in report.results)
