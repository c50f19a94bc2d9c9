# SPDX-License-Identifier: Apache-2.0
"""Data types and devices of other libraries for native kernels, by their names. Called from C."""

import re

# DLDataTypeCode of DLPack. The float8 types are named as torch and ml_dtypes name them.
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "complex": 5, "bool": 6}
_FLOAT8 = {
    "float8_e3m4": 7,
    "float8_e4m3": 8,
    "float8_e4m3b11fnuz": 9,
    "float8_e4m3fn": 10,
    "float8_e4m3fnuz": 11,
    "float8_e5m2": 12,
    "float8_e5m2fnuz": 13,
    "float8_e8m0fnu": 14,
}
_TORCH_NAMES = {"half": "float16", "float": "float32", "double": "float64", "long": "int64"}
# DLDeviceType of DLPack.
_DEVICES = {"cpu": 1, "cuda": 2, "mps": 8, "rocm": 10, "xpu": 14}


def _dtype_named(name):
    """(code, bits, lanes) of "float32" and its like; None for other text."""
    name = _TORCH_NAMES.get(name, name)
    if name == "bool":
        return _CODES["bool"], 8, 1
    if name in _FLOAT8:
        return _FLOAT8[name], 8, 1
    match = re.fullmatch(r"(int|uint|float|bfloat|complex)(\d+)", name)
    return (_CODES[match[1]], int(match[2]), 1) if match else None


def describe(value):
    """("dtype", code, bits, lanes) or ("device", type, index, 0) of an object that is one; else a TypeError."""
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("torch", "device"):
        index = 0 if value.index is None else value.index
        if value.type in _DEVICES:
            return "device", _DEVICES[value.type], index, 0
    name = str(value).removeprefix("torch.") if kind.__module__ == "torch" else None
    if kind.__module__.startswith("numpy"):
        name = getattr(value, "name", None)
    dtype = _dtype_named(name) if isinstance(name, str) else None
    if dtype is None:
        raise TypeError(
            f"a native kernel takes no {kind.__module__}.{kind.__qualname__}: expected a tensor with __dlpack__, "
            "None, a bool, a number, text, bytes, a list or tuple of these, a data type or device, or a callable"
        )
    return "dtype", *dtype


def dtype_name(code, bits, lanes):
    """Its name, such as "float32", and "x4" behind it for 4 lanes."""
    if code == _CODES["bool"] and bits == 8:
        name = "bool"
    elif code in _FLOAT8.values():
        name = next(name for name, known in _FLOAT8.items() if known == code)
    else:
        prefix = next((name for name, known in _CODES.items() if known == code), f"code{code}_")
        name = f"{prefix}{bits}"
    return name if lanes == 1 else f"{name}x{lanes}"


def device_name(kind, index, _):
    """Its name, such as "cuda:0"."""
    name = next((name for name, known in _DEVICES.items() if known == kind), f"device{kind}")
    return f"{name}:{index}"
