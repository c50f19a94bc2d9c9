# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the kernels that ship with this package, in the form of any kernel's.

Beside what that form has, a class says with `rtol` and `atol` what is right, and with `bytes_<name>`
what a call reads and writes.
"""

import torch
import torch.nn.functional as F

from kernels.benchmark import Benchmark

ROWS, WIDTH = 2048, 4096


class _OnCPU(Benchmark):
    seed = 0
    dtype = torch.float32
    rtol, atol = 1e-4, 1e-5

    def random(self, *shape):
        return torch.randn(*shape, device=self.device).to(self.dtype)

    def size(self, count):
        return count * self.dtype.itemsize


class _Bfloat16:
    dtype = torch.bfloat16
    rtol, atol = 1.6e-2, 1e-2


class ActivationBenchmark(_OnCPU):
    repo_id = "builtin/activation"

    def setup(self):
        self.x = self.random(ROWS, 2 * WIDTH)
        self.out = self.random(ROWS, WIDTH)

    def _bytes(self):
        return self.size(3 * ROWS * WIDTH)

    def benchmark_silu_and_mul(self):
        self.kernel.silu_and_mul(self.x, out=self.out)

    def verify_silu_and_mul(self):
        return F.silu(self.x[:, :WIDTH]) * self.x[:, WIDTH:]

    bytes_silu_and_mul = _bytes

    def benchmark_gelu_and_mul(self):
        self.kernel.gelu_and_mul(self.x, out=self.out)

    def verify_gelu_and_mul(self):
        return F.gelu(self.x[:, :WIDTH]) * self.x[:, WIDTH:]

    bytes_gelu_and_mul = _bytes


class ActivationBfloat16Benchmark(_Bfloat16, ActivationBenchmark):
    pass


class NormBenchmark(_OnCPU):
    repo_id = "builtin/norm"

    def setup(self):
        self.x, self.out = self.random(ROWS, WIDTH), self.random(ROWS, WIDTH)
        self.weight, self.bias = self.random(WIDTH), self.random(WIDTH)

    def _bytes(self):
        return self.size(2 * ROWS * WIDTH)

    def benchmark_rms_norm(self):
        self.kernel.rms_norm(self.x, self.weight, 1e-6, out=self.out)

    def verify_rms_norm(self):
        return F.rms_norm(self.x, (WIDTH,), self.weight, 1e-6)

    bytes_rms_norm = _bytes

    def benchmark_layer_norm(self):
        self.kernel.layer_norm(self.x, self.weight, self.bias, out=self.out)

    def verify_layer_norm(self):
        return F.layer_norm(self.x, (WIDTH,), self.weight, self.bias)

    bytes_layer_norm = _bytes


class NormBfloat16Benchmark(_Bfloat16, NormBenchmark):
    pass


class RotaryBenchmark(_OnCPU):
    repo_id = "builtin/rotary"

    def setup(self):
        self.q = self.random(1, 32, ROWS, 128)
        self.k = self.random(1, 8, ROWS, 128)
        self.cos, self.sin = self.random(1, ROWS, 128), self.random(1, ROWS, 128)
        self.out = torch.empty_like(self.q), torch.empty_like(self.k)

    def benchmark_q_and_k(self):
        self.kernel.apply_rotary(self.q, self.k, self.cos, self.sin, out=self.out)

    def verify_q_and_k(self):
        cos, sin = self.cos.unsqueeze(1), self.sin.unsqueeze(1)
        return tuple(
            x * cos + torch.cat((-x[..., 64:], x[..., :64]), dim=-1) * sin for x in (self.q, self.k)
        )

    def bytes_q_and_k(self):
        return self.size(2 * (self.q.numel() + self.k.numel() + self.cos.numel()))


class MlpBenchmark(_OnCPU):
    repo_id = "builtin/mlp"

    def setup(self):
        self.gate, self.up = self.random(ROWS, WIDTH), self.random(ROWS, WIDTH)

    def benchmark_silu_mul(self):
        self.out = self.kernel.silu_mul(self.gate, self.up)

    def verify_silu_mul(self):
        return F.silu(self.gate) * self.up

    def bytes_silu_mul(self):
        return self.size(3 * ROWS * WIDTH)


class LossBenchmark(_OnCPU):
    repo_id = "builtin/loss"

    def setup(self):
        self.logits = self.random(256, 32768).requires_grad_()
        self.target = torch.randint(32768, (256,))

    def _gradient(self, function):
        return torch.autograd.grad(
            function(self.logits, self.target, reduction="sum"), self.logits
        )[0]

    def benchmark_cross_entropy_and_gradient(self):
        self.out = self._gradient(self.kernel.cross_entropy)

    def verify_cross_entropy_and_gradient(self):
        return self._gradient(F.cross_entropy)

    def bytes_cross_entropy_and_gradient(self):
        return self.size(2 * self.logits.numel())
