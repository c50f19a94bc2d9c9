# SPDX-License-Identifier: Apache-2.0
"""Modes: what a kernelized layer is going to be used for."""

from enum import Flag

from kernels import _core


class Mode(Flag):
    """What a kernel is used for.

    `kernelize` takes the mode that the model is going to be used in; a
    mapping may give a repository for each mode. Modes combine with ``|``, as
    in ``Mode.TRAINING | Mode.TORCH_COMPILE``.

    Attributes:
        INFERENCE: Forward only.
        TRAINING: Forward and backward.
        TORCH_COMPILE: Used with ``torch.compile``; together with one of the
            two above.
        FALLBACK: In a mapping only: used when no other mode matches. A
            repository that a mapping gives without a mode is registered under
            it.

    Raises:
        ValueError: On combining INFERENCE with TRAINING, or FALLBACK with
            anything.

    Example:
        >>> from kernels import Mode
        >>> Mode.TORCH_COMPILE in (Mode.INFERENCE | Mode.TORCH_COMPILE)
        True
    """

    _NONE = 0
    FALLBACK = 1
    TRAINING = 2
    INFERENCE = 4
    TORCH_COMPILE = 8

    def __or__(self, other: "Mode") -> "Mode":
        union = super().__or__(other)
        if union is not NotImplemented:
            _core.check_mode(union._value_)
        return union
