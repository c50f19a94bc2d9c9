# SPDX-License-Identifier: Apache-2.0
"""What stands between the products of a gated MLP, for 2048 rows of 4096 elements."""

import torch
import torch.nn.functional as F

from kernels.benchmark import Benchmark


class MlpBenchmark(Benchmark):
    seed = 0
    rtol, atol = 1e-4, 1e-5

    def setup(self):
        self.gate, self.up = torch.randn(2, 2048, 4096, device=self.device)

    def benchmark_silu_mul(self):
        self.out = self.kernel.silu_mul(self.gate, self.up)

    def verify_silu_mul(self) -> torch.Tensor:
        return F.silu(self.gate) * self.up

    def bytes_silu_mul(self):
        return 3 * self.gate.nbytes
