# SPDX-License-Identifier: Apache-2.0
"""The rotary embedding of 2048 positions, 32 heads of q and 8 of k, output given."""

import torch

from kernels.benchmark import Benchmark

POSITIONS, WIDTH, HEADS = 2048, 128, (32, 8)


class RotaryBenchmark(Benchmark):
    seed = 0
    rtol, atol = 1e-4, 1e-5

    def setup(self):
        def heads(count):
            return torch.randn(1, count, POSITIONS, WIDTH, device=self.device)

        self.qk = tuple(map(heads, HEADS))
        self.cos, self.sin = torch.randn(2, 1, POSITIONS, WIDTH, device=self.device)
        self.out = torch.empty_like(heads(sum(HEADS)))
        self.outs = self.out.split(HEADS, dim=1)

    def benchmark_q_and_k(self):
        self.kernel.apply_rotary(*self.qk, self.cos, self.sin, out=self.outs)

    def verify_q_and_k(self) -> torch.Tensor:
        x = torch.cat(self.qk, dim=1)
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat((-second, first), dim=-1) * self.sin

    def bytes_q_and_k(self):
        return 2 * (self.out.nbytes + self.cos.nbytes)
