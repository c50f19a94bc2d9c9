# SPDX-License-Identifier: Apache-2.0
"""Cross entropy of 256 rows over 32,768 classes, with the gradient of the logits."""

import torch
import torch.nn.functional as F

from kernels.benchmark import Benchmark

ROWS, CLASSES = 256, 32768


class LossBenchmark(Benchmark):
    seed = 0
    rtol, atol = 1e-4, 1e-5

    def setup(self):
        self.logits = torch.randn(ROWS, CLASSES, device=self.device).requires_grad_()
        self.target = torch.randint(CLASSES, (ROWS,), device=self.device)

    def _gradient(self, function):
        loss = function(self.logits, self.target, reduction="sum")
        return torch.autograd.grad(loss, self.logits)[0]

    def benchmark_cross_entropy_and_gradient(self):
        self.out = self._gradient(self.kernel.cross_entropy)

    def verify_cross_entropy_and_gradient(self) -> torch.Tensor:
        return self._gradient(F.cross_entropy)

    def bytes_cross_entropy_and_gradient(self):
        return 2 * self.logits.nbytes
