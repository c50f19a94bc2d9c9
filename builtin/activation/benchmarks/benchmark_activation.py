# SPDX-License-Identifier: Apache-2.0
"""Gated activations with 2048 rows of 4096 elements as the result, output given.

Results stay below 1, where bfloat16's roundings are less than what upstream's runner allows.
"""

import torch
import torch.nn.functional as F

from kernels.benchmark import Benchmark

ROWS, WIDTH = 2048, 4096


class ActivationBenchmark(Benchmark):
    seed = 0
    dtype = torch.float32
    rtol, atol = 1e-4, 1e-5

    def setup(self):
        options = {"device": self.device, "dtype": self.dtype}
        self.x = 2 * torch.rand(ROWS, 2 * WIDTH, **options) - 1
        self.out = torch.empty(ROWS, WIDTH, **options)

    def _bytes(self):
        return self.x.nbytes + self.out.nbytes

    def benchmark_silu_and_mul(self):
        self.kernel.silu_and_mul(self.x, out=self.out)

    def verify_silu_and_mul(self) -> torch.Tensor:
        return F.silu(self.x[:, :WIDTH]) * self.x[:, WIDTH:]

    bytes_silu_and_mul = _bytes

    def benchmark_gelu_and_mul(self):
        self.kernel.gelu_and_mul(self.x, out=self.out)

    def verify_gelu_and_mul(self) -> torch.Tensor:
        return F.gelu(self.x[:, :WIDTH]) * self.x[:, WIDTH:]

    bytes_gelu_and_mul = _bytes


class ActivationBfloat16Benchmark(ActivationBenchmark):
    dtype = torch.bfloat16
    rtol, atol = 1.6e-2, 1e-2
