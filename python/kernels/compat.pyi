# SPDX-License-Identifier: Apache-2.0
from types import ModuleType

has_torch: bool
has_tvm_ffi: bool
tomllib: ModuleType
