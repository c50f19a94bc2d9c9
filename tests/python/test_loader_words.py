# SPDX-License-Identifier: Apache-2.0
"""What the system's loader says of a kernel is told with which kernel it is about and what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_support import write_kernel
from native_support import compile_library
from native_support import write_kernel as write_native

from kernels import _host, get_local_kernel, native

CTYPES = "import ctypes, pathlib\nctypes.CDLL(str(pathlib.Path(__file__).parent / '_native.so'))\n"


def compiled(folder, code, name="_native.so", options=()):
    """A shared object that resolves all its symbols at once, as Python and torch load theirs."""
    source = folder / f"{name}.c"
    source.write_text(code)
    return compile_library(folder / name, source, options=["-Wl,-z,now", *options])


@pytest.fixture
def make_kernel(tmp_path):
    """A kernel that opens its one shared object with ctypes, or imports it."""

    def make(library, code=CTYPES):
        folder = write_kernel(tmp_path / "k", layers=None, code=code)
        (folder / "build/torch-universal" / library.name).write_bytes(library.read_bytes())
        return folder

    return make


@pytest.fixture
def lacking(tmp_path):
    """A shared object that needs libcudart.so.99, which is nowhere."""
    needed = compiled(tmp_path, "int cudart(void) { return 0; }", "libcudart.so.99",
                      ["-Wl,-soname,libcudart.so.99"])  # fmt: skip
    code = "int cudart(void); int run(void) { return cudart(); }"
    made = compiled(tmp_path, code, options=[str(needed)])
    needed.unlink()
    return made


def test_a_missing_library_is_told_with_the_kernel_and_who_brings_it(make_kernel, lacking):
    with pytest.raises(OSError, match="cannot open shared object file") as raised:
        get_local_kernel(make_kernel(lacking))
    told = str(raised.value)
    assert told.startswith("kernel 'toy' variant 'torch-universal' (")
    assert "libcudart.so.99: cannot open shared object file" in told
    assert "; it is CUDA's runtime: a torch for the same CUDA brings it" in told
    assert type(raised.value) is OSError
    assert str(raised.value.__cause__).startswith("libcudart.so.99: cannot open")


def test_an_undefined_symbol_of_torch_keeps_the_type_of_the_error(make_kernel, tmp_path):
    code = "void _ZN3c104gone3dayEv(void); void *PyInit__native(void) { _ZN3c104gone3dayEv(); return 0; }"
    folder = make_kernel(compiled(tmp_path, code), code="from . import _native\n")
    with pytest.raises(ImportError, match="undefined symbol: _ZN3c104gone3dayEv") as raised:
        get_local_kernel(folder)
    told = str(raised.value)
    assert told.startswith("kernel 'toy' variant 'torch-universal' (")
    assert "/_native.so: undefined symbol: " in told
    assert "; it is torch's: the build was made for another torch" in told
    assert raised.value.name == raised.value.__cause__.name
    assert raised.value.path.endswith("/_native.so")


def test_what_torch_says_of_a_library_is_told_by_its_cause(make_kernel, lacking):
    code = "import pathlib, torch\ntorch.ops.load_library(pathlib.Path(__file__).parent / '_native.so')\n"
    with pytest.raises(OSError, match=r"_native\.so.*libcudart\.so\.99.*; it is CUDA's runtime"):
        get_local_kernel(make_kernel(lacking, code))


def test_a_file_that_may_not_be_run_is_told_where_to_put_the_cache(make_kernel, tmp_path):
    words = "'/k/_k.so: failed to map segment from shared object'"
    folder = make_kernel(compiled(tmp_path, "int x;"), code=f"raise ImportError({words})\n")
    with pytest.raises(ImportError, match=r"noexec.*have the cache elsewhere \(HF_HUB_CACHE"):
        get_local_kernel(folder)


@pytest.mark.parametrize(
    "error", ["ImportError('no such thing')", "OSError(2, 'gone')", "KeyError(1)"]
)
def test_errors_that_are_not_the_loaders_stay_as_they_are(make_kernel, tmp_path, error):
    folder = make_kernel(compiled(tmp_path, "int x;"), code=f"raise {error}\n")
    with pytest.raises((ImportError, OSError, KeyError)) as raised:
        get_local_kernel(folder)
    assert repr(raised.value) == repr(eval(error))
    assert raised.value.__cause__ is None


def test_a_native_kernel_is_told_of_alike(tmp_path, lacking):
    folder = write_native(tmp_path / "n", "needy", lacking)
    with pytest.raises(OSError, match=r"^kernel 'needy' variant 'tvm-ffi01-cpu-x86_64-linux': cannot load "
                       r"'/.*': libcudart\.so\.99: cannot open .*; it is CUDA's runtime"):  # fmt: skip
        native.get_local_kernel(folder)


@given(
    st.text(), st.sampled_from(["", "undefined symbol: ", "version `", "file too short"]), st.text()
)
def test_any_words_are_taken(before, phrase, behind):
    for words in (before + phrase + behind, phrase + "\udc80\0" + behind):
        advice = _host._advice(words)
        assert advice is None or len(advice) > 20
