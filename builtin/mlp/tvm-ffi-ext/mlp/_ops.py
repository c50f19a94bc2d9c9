# SPDX-License-Identifier: Apache-2.0
"""The functions of this kernel's library, which C programs call by the same names."""

from pathlib import Path

import tvm_ffi

ops = tvm_ffi.load_module(Path(__file__).parent / "_mlp_tvm.so")
