# SPDX-License-Identifier: Apache-2.0
"""The base class of a kernel's benchmarks."""


class Benchmark:
    """Base of the classes in a kernel's `benchmarks/`. Running them is not
    available yet.
    """

    def __init__(self):
        raise NotImplementedError("running a kernel's benchmarks is not available in this version")
