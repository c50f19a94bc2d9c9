# SPDX-License-Identifier: Apache-2.0
from enum import Flag

class Mode(Flag):
    _NONE = 0
    FALLBACK = 1
    TRAINING = 2
    INFERENCE = 4
    TORCH_COMPILE = 8
