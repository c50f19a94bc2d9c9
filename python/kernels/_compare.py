# SPDX-License-Identifier: Apache-2.0
"""How far two results are apart: tensors, and what holds tensors."""

import dataclasses
import math
from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor

# (rtol, atol), the defaults of torch.testing.assert_close; of all other types values must be equal.
_TOLERANCES = {
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.complex32: (1e-3, 1e-5),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}
VALUES = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_CHUNK = 1 << 22  # elements: what is measured at once is copied in double precision


def tolerances(dtype, rtol=None, atol=None):
    """(rtol, atol) for a type of element: what is given, else the default."""
    default = _TOLERANCES.get(dtype, (0.0, 0.0))
    return default[0] if rtol is None else rtol, default[1] if atol is None else atol


def members(value):
    """(name as in code, member) of what holds others; None for what holds none."""
    if isinstance(value, (Tensor, torch.nn.Module, ModuleType, *VALUES)) or callable(value):
        return None
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", member) for key, member in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{index}]", member) for index, member in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return [(f".{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value)]
    if hasattr(value, "__dict__"):
        return [(f".{name}", member) for name, member in vars(value).items()]
    return None


def tensors_of(*values):
    """The tensors in values, each once, in their order."""
    seen, found, waiting = set(), [], [*reversed(values)]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            found.append(value)
        else:
            waiting += [member for _, member in reversed(members(value) or ())]
    return found


class Difference:
    """The largest differences over any number of comparisons.

    `problem` is a sentence where results are not the same within the tolerance; `where` names the value that is
    furthest off, `dtype`, `rtol` and `atol` belong to it. `count` is the number of elements compared.
    """

    def __init__(self, rtol=None, atol=None):
        self.rtol = self.atol = self.dtype = self.where = self.problem = self.ulps = None
        self.absolute = self.relative = 0.0
        self.count = 0
        self._asked = (rtol, atol)

    def add(self, actual, expected, where):
        """Compares two values, and those in them."""
        self._add(actual, expected, where, set())

    def _add(self, actual, expected, where, seen):
        if isinstance(actual, Tensor) and isinstance(expected, Tensor):
            self._add_tensors(actual, expected, where)
            return
        if id(actual) in seen:
            return
        seen.add(id(actual))
        ours, theirs = members(actual), members(expected)
        if ours is None or theirs is None:
            self._add_values(actual, expected, where)
        elif [name for name, _ in ours] != [name for name, _ in theirs]:
            self.fail(
                f"{where} has the members {_names(ours)}, the original's has {_names(theirs)}"
            )
        else:
            for (name, mine), (_, other) in zip(ours, theirs, strict=True):
                self._add(mine, other, where + name, seen)

    def fail(self, problem):
        """Says what is not the same; the first problem is kept."""
        self.problem = self.problem or problem

    def _add_values(self, actual, expected, where):
        number = (int, float, complex)
        if isinstance(actual, number) and isinstance(expected, number):
            kind = torch.complex128 if complex in (type(actual), type(expected)) else torch.float64
            self._add_tensors(
                torch.tensor(actual, dtype=kind, device="cpu"),
                torch.tensor(expected, dtype=kind, device="cpu"),
                where,
            )
        elif isinstance(actual, (*VALUES, Tensor)) or isinstance(expected, (*VALUES, Tensor)):
            if type(actual) is not type(expected) or actual != expected:
                self.fail(f"{where} is {_kind(actual)}, the original's is {_kind(expected)}")

    def _add_tensors(self, actual, expected, where):
        for name in ("shape", "device", "dtype"):
            ours, theirs = getattr(actual, name), getattr(expected, name)
            if ours == theirs:
                continue
            if name == "shape":
                ours, theirs = tuple(ours), tuple(theirs)
            self.fail(f"{where} has {name} {ours}, the original's has {theirs}")
            if name != "dtype":
                return
        if expected.device.type == "meta":
            raise ValueError("tensors on the meta device hold no numbers to compare")
        dtype = expected.dtype
        rtol, atol = tolerances(dtype, *self._asked)
        with torch.no_grad():
            found = _measure(_flat(actual), _flat(expected), dtype, rtol, atol)
        self._take(where, dtype, rtol, atol, expected.numel(), *found)

    def _take(self, where, dtype, rtol, atol, count, absolute, relative, ulps, wrong):
        self.count += count
        if self.dtype is None or absolute > self.absolute:
            self.where, self.dtype, self.rtol, self.atol = where, dtype, rtol, atol
        self.absolute = max(self.absolute, absolute)
        self.relative = max(self.relative, relative)
        if dtype.is_floating_point:
            self.ulps = max(self.ulps or 0.0, ulps)
        if wrong:
            self.fail(
                f"{wrong} of {count} elements of {where} differ by more than rtol={rtol:g}, atol={atol:g} "
                f"allow (by up to {absolute:.3g})"
            )


def _names(found):
    return ", ".join(name.lstrip(".").strip("[]") for name, _ in found) or "(none)"


def _kind(value):
    return repr(value) if isinstance(value, VALUES) else f"a {type(value).__name__}"


def _flat(tensor):
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    return tensor.reshape(-1)


def _wide(values):
    if values.is_complex():
        return values.to(torch.complex128)
    # Metal has no double precision.
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def _measure(actual, expected, dtype, rtol, atol):
    """(largest absolute, relative and ulp difference, how many elements are off)."""
    worst, wrong = [0.0, 0.0, 0.0], 0
    for ours, theirs in zip(actual.split(_CHUNK), expected.split(_CHUNK), strict=True):
        if ours.numel() == 0:
            continue
        *errors, off = _measure_chunk(ours, theirs, dtype, rtol, atol)
        worst = [max(pair) for pair in zip(worst, errors, strict=True)]
        wrong += int(off)
    return (*worst, wrong)


def _measure_chunk(ours, theirs, dtype, rtol, atol):
    exact = ours == theirs if not (dtype.is_floating_point or dtype.is_complex) else None
    ours, theirs = _wide(ours), _wide(theirs)
    # NaN is equal to NaN, infinities to those of the same sign.
    same = exact if exact is not None else (ours == theirs) | (ours.isnan() & theirs.isnan())
    size = theirs.abs()
    error = torch.where(same, 0.0, (ours - theirs).abs())
    if exact is not None:
        error = torch.where(same, 0.0, error.clamp(min=1))  # of integers too large for doubles
    error = torch.where(error.isnan(), math.inf, error)
    finite = ours.isfinite() & theirs.isfinite()
    wrong = ~same & (~finite | ~(error <= atol + rtol * size))
    error = torch.where(finite | same, error, math.inf)
    relative = torch.where(size > 0, error / size, 0.0)
    relative = torch.where(relative.isnan(), math.inf, relative)
    ulps = error
    if dtype.is_floating_point:
        info = torch.finfo(dtype)
        exponent = torch.frexp(size.clamp(info.smallest_normal, info.max))[1]
        ulps = error / torch.ldexp(torch.full_like(size, info.eps), exponent - 1)
    relative = torch.where(same, 0.0, relative)
    return torch.stack([error.max(), relative.max(), ulps.max(), wrong.sum().to(error)]).tolist()
