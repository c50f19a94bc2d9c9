# SPDX-License-Identifier: Apache-2.0
from typing import Any

class Benchmark:
    seed: int | None
    device: str
    kernel: Any
    out: Any
    def __init__(self) -> None: ...
    def setup(self) -> None: ...
