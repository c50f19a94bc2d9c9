# SPDX-License-Identifier: Apache-2.0
"""The network module's TOML reader against Python's own."""

import ctypes
import datetime
import json
import math
import os
import string
from pathlib import Path

import pytest
import tomllib
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels


class Error(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("status", ctypes.c_int),
        ("message", ctypes.c_char * 4096),
    ]


TO_JSON = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(Error),
)


class Table(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("digests", ctypes.c_void_p * 4),
        ("toml_to_json", TO_JSON),
        ("toml_to_places", ctypes.c_void_p),
        ("transport_new", ctypes.c_void_p),
    ]


LIBRARY = os.environ.get("KERNELS_NET_LIBRARY") or str(
    Path(kernels.__file__).with_name("libkernels_net.so")
)
MODULE = ctypes.CDLL(LIBRARY)
MODULE.kni_net_table.restype = ctypes.POINTER(Table)
TABLE = MODULE.kni_net_table().contents
FREE = ctypes.CDLL(None).free
FREE.argtypes = [ctypes.c_void_p]


def read(text: bytes):
    """What the module makes of `text`; ValueError where it is refused."""
    assert TABLE.size == ctypes.sizeof(Table)
    out, err = ctypes.c_void_p(), Error(ctypes.sizeof(Error))
    if TABLE.toml_to_json(None, text, len(text), b"x.toml", ctypes.byref(out), ctypes.byref(err)):
        raise ValueError(err.message.decode())
    try:
        return json.loads(ctypes.string_at(out))
    finally:
        FREE(out)


def as_json(value):
    """tomllib's value as the module gives it: dates and what is no number become text."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
        if "." in text:  # Python writes all six digits
            head, _, rest = text.partition(".")
            text = f"{head}.{rest[:6].rstrip('0')}{rest[6:]}"
        return text.replace("+00:00", "Z")
    return value


def quote(text: str) -> str:
    return '"' + "".join(c if c in PLAIN else f"\\U{ord(c):08x}" for c in text) + '"'


PLAIN = set(string.ascii_letters + string.digits + " -_.'#[]{},=éß€😀")


def write(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(k)} = {write(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return repr(value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
offsets = st.sampled_from([None, datetime.timezone.utc]) | st.builds(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)), st.integers(-719, 719)
)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | texts
    | st.dates()
    | st.times()
    | st.datetimes(timezones=offsets)
)
values = st.recursive(
    scalars,
    lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(texts, values, max_size=5)


@given(documents)
@settings(max_examples=300, deadline=None)
def test_documents_are_read_as_python_reads_them(document):
    text = "\n".join(f"{quote(key)} = {write(value)}" for key, value in document.items())
    assert read(text.encode()) == as_json(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "[a]\nb.c = 1\n[a.b.d]\ne = 2",
        "[[a]]\n[a.b]\n[[a.b]]",
        "a = {b.c = 1, b.d = 2}",
        "[a]\n[a.b]\n[a]",
        "a.b = 1\n[a]",
        "[a.b]\n[a]\nc = 1",
        "a = 1_\n",
        "a = 0x_1",
        "a = 1.e5",
        "a = .5",
        "a = 1979-05-27T07:32",
        "a = 24:00:00",
        "a = 2023-02-29",
        'a = "\\x41"',
        "a = 'x\ny'",
        "a = '''x''''''",
        "a = [1 2]",
        "a = {b = 1,}",
        "a = {b = 1\n}",
        "a = 1 b = 2",
        "a\u00a0= 1",
        "a = 1\u00a0",
        "\u00e9 = 1",
        "a = true_",
        "a = +inf\nb = - inf",
        "[]",
        "[a",
        "[a]]",
        "[[a]",
        "a = # nothing",
        "# \x01",
        "a = 1\rb = 2",
        '"""a""" = 1',
        "a = -0x1",
        "a = 00",
        "a = 1e",
    ],
)
def test_what_python_refuses_is_refused(text):
    try:
        expected = as_json(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        with pytest.raises(ValueError, match=r"^x\.toml: not valid TOML"):
            read(text.encode())
    else:
        assert read(text.encode()) == expected
