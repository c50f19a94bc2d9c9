# SPDX-License-Identifier: Apache-2.0
"""Where the wheel installs the program."""

import sys
from pathlib import Path

PROGRAM = Path(sys.prefix) / "bin" / "kernels"
