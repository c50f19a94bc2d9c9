# SPDX-License-Identifier: Apache-2.0
"""The base class of a kernel's benchmarks."""


class Benchmark:
    """Base of the classes in a kernel's `benchmarks/`.

    What runs a benchmark sets `kernel` and `device`, calls `setup`, times
    every method `benchmark_<name>`, and compares what `verify_<name>` returns
    with `out`.

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
