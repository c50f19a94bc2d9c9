# SPDX-License-Identifier: Apache-2.0
"""Norms of 2048 rows of 4096 elements, output given.

Results stay below 1, where bfloat16's roundings are less than what upstream's runner allows.
"""

import torch
import torch.nn.functional as F

from kernels.benchmark import Benchmark

ROWS, WIDTH = 2048, 4096


class NormBenchmark(Benchmark):
    seed = 0
    dtype = torch.float32
    rtol, atol = 1e-4, 1e-5

    def setup(self):
        options = {"device": self.device, "dtype": self.dtype}
        self.x = torch.randn(ROWS, WIDTH, **options)
        self.weight = 0.1 + 0.05 * torch.rand(WIDTH, **options)
        self.bias = 0.1 * torch.rand(WIDTH, **options)
        self.out = torch.empty_like(self.x)

    def _bytes(self):
        return 2 * self.x.nbytes

    def benchmark_rms_norm(self):
        self.kernel.rms_norm(self.x, self.weight, 1e-6, out=self.out)

    def verify_rms_norm(self) -> torch.Tensor:
        return F.rms_norm(self.x, (WIDTH,), self.weight, 1e-6)

    bytes_rms_norm = _bytes

    def benchmark_layer_norm(self):
        self.kernel.layer_norm(self.x, self.weight, self.bias, out=self.out)

    def verify_layer_norm(self) -> torch.Tensor:
        return F.layer_norm(self.x, (WIDTH,), self.weight, self.bias)

    bytes_layer_norm = _bytes


class NormBfloat16Benchmark(NormBenchmark):
    dtype = torch.bfloat16
    rtol, atol = 1.6e-2, 1e-2
