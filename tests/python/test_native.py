# SPDX-License-Identifier: Apache-2.0
"""Native kernels from Python: what functions take and give, without the package tvm_ffi in the process."""

import ctypes
import gc
import json
import os
import sys
import threading

import numpy as np
import pytest
import torch
from native_support import (
    ROOT,
    SOURCES,
    compile_library,
    compile_tvm_ffi_kernel,
    run_python,
    tvm_ffi_folder,
    write_kernel,
)

import kernels
from kernels import native


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A kernel in C that needs no libtvm_ffi."""
    return native.get_local_kernel(write_kernel(tmp_path_factory.mktemp("native") / "k", "plain"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a kernel that is written with tvm-ffi's headers."""
    folder = tmp_path_factory.mktemp("native")
    library = compile_tvm_ffi_kernel(folder / "library.so")
    return write_kernel(folder / "k", "written", library)


@pytest.fixture
def kernel(written, monkeypatch):
    monkeypatch.setenv("KERNELS_TVM_FFI_LIBRARY", str(tvm_ffi_folder() / "lib" / "libtvm_ffi.so"))
    before = "tvm_ffi" in sys.modules  # another test's doing
    yield native.get_local_kernel(written)
    assert ("tvm_ffi" in sys.modules) == before


class OldExporter:
    """A tensor as libraries exported it before DLPack 1.0."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


# ---- tensors ----


def test_tensors_of_any_library_share_their_memory(kernel):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = np.zeros_like(x)
    assert kernel.add_one(x, y) is None
    assert y.tolist() == [[1, 2, 3], [4, 5, 6]]
    z = torch.zeros(2, 3)
    kernel.add_one(OldExporter(x), z)
    assert z.tolist() == [[1, 2, 3], [4, 5, 6]]
    kernel.add_one(torch.nn.Parameter(torch.ones(2, 3)), y)
    assert y.tolist() == [[2, 2, 2], [2, 2, 2]]
    kernel.add_one(z, OldExporter(y))
    assert y.tolist() == [[2, 3, 4], [5, 6, 7]]


def test_a_kernel_that_needs_nothing_is_called_without_libtvm_ffi(plain):
    x, y = np.arange(3, dtype=np.float32), torch.zeros(3)
    with pytest.raises(RuntimeError, match="add_one: the kernel says that it failed, and not why"):
        plain.add_one(x)
    assert plain.count(1, None, "three") == 3
    assert plain.echo(-7) == -7
    assert plain.echo("a text that is long enough") == "a text that is long enough"
    assert plain.sum_shape is plain.sum_shape
    assert y.tolist() == [0, 0, 0]


def test_a_first_party_kernel_computes_on_arrays(kernel):
    """`kernel` names libtvm_ffi."""
    norm = native.get_kernel("builtin/norm", backend="cpu")
    x, out = np.array([[3, 4]], dtype=np.float32), np.zeros((1, 2), dtype=np.float32)
    norm.rms_norm(out, x, np.ones(2, dtype=np.float32), 0.0, False)
    np.testing.assert_allclose(out, [[0.84852814, 1.1313708]], rtol=1e-6)


def test_shapes_and_strides_are_those_of_the_tensor(kernel):
    assert kernel.shape_of(np.zeros((2, 0, 5))) == (2, 0, 5)
    assert kernel.shape_of(np.zeros(())) == ()
    assert kernel.shape_of(torch.zeros(4, 3).T) == (3, 4)
    assert kernel.sizes_of(np.zeros((2, 3))) == (2, 3)


def test_a_returned_tensor_is_for_every_library(kernel):
    x = np.arange(3, dtype=np.float32)
    y = kernel.plus_one(x)
    assert y.shape == (3,)
    assert y.__dlpack_device__() == (1, 0)
    a, b = np.from_dlpack(y), torch.from_dlpack(y)
    assert a.tolist() == b.tolist() == [1, 2, 3]
    b[0] = 9
    assert a.tolist() == [9, 2, 3]
    assert torch.utils.dlpack.from_dlpack(y.__dlpack__()).tolist() == [9, 2, 3]
    assert kernel.plus_one(y).shape == (3,)
    del y
    gc.collect()
    assert a.tolist() == [9, 2, 3]


def test_a_returned_tensor_is_neither_copied_nor_moved(kernel):
    y = kernel.plus_one(np.zeros(2, dtype=np.float32))
    with pytest.raises(BufferError, match="neither copied nor moved"):
        y.__dlpack__(copy=True)
    with pytest.raises(BufferError, match="neither copied nor moved"):
        y.__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError):
        y.__dlpack__(max_version=3)
    assert "dltensor_versioned" in repr(y.__dlpack__(max_version=(1, 0), dl_device=(1, 0)))
    assert '"dltensor"' in repr(y.__dlpack__(max_version=(0, 8)))


def test_a_tensor_that_a_kernel_keeps_stays_alive(kernel):
    kept = kernel.keep(np.full(1000, 7, dtype=np.float32))
    gc.collect()
    assert np.from_dlpack(kept).tolist() == [7] * 1000


def test_a_call_leaves_no_reference_behind(kernel):
    x, y = np.zeros(3, dtype=np.float32), torch.zeros(3)
    before = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(100):
        kernel.add_one(x, y)
        with pytest.raises(ValueError):
            kernel.add_one(x, torch.zeros(4))
        with pytest.raises(TypeError):
            kernel.add_one(x, y, object())
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before


def test_an_array_that_is_read_only_is_an_input(kernel):
    x, y = np.arange(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    x.flags.writeable = False
    kernel.add_one(x, y)
    assert y.tolist() == [1, 2, 3]


# ---- other values ----


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (-(2**63), -(2**63)),
        (2.5, 2.5),
        ("short", "short"),
        ("7 bytes", "7 bytes"),
        ("longer, with ü and \0", "longer, with ü and \0"),
        (b"\0\xff", b"\0\xff"),
        (b"longer than seven", b"longer than seven"),
        ((1, 2.5, "x"), (1, 2.5, "x")),
        ([1, [2, [None]]], (1, (2, (None,)))),
        (torch.float16, "float16"),
        (torch.long, "int64"),
        (torch.float8_e4m3fn, "float8_e4m3fn"),
        (np.dtype("uint8"), "uint8"),
        (torch.bool, "bool"),
        (torch.device("cuda", 1), "cuda:1"),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
    ],
)
def test_values_come_back(kernel, value, shown):
    result = kernel.echo(value)
    assert result == shown
    assert type(result) is type(shown)


def test_a_sequence_is_an_array_for_the_kernel(kernel):
    assert kernel.sum([1, 2, 3]) == 6
    assert kernel.sum(()) == 0
    with pytest.raises(TypeError):
        kernel.sum(["x"])


def test_a_sequence_without_end_is_an_error(kernel):
    circle = []
    circle.append(circle)
    with pytest.raises(RecursionError):
        kernel.echo(circle)


def test_what_no_kernel_takes_is_told(kernel):
    with pytest.raises(TypeError, match="a native kernel takes no builtins.object: expected a ten"):
        kernel.echo(object())
    with pytest.raises(OverflowError):
        kernel.echo(2**63)
    with pytest.raises(AttributeError, match="no function 'matmul'.*__tvm_ffi_matmul"):
        kernel.matmul()
    assert not hasattr(kernel, "__wrapped__")


# ---- functions ----


def test_a_kernel_calls_callables_and_functions(kernel, plain):
    assert kernel.apply(lambda value: value + 1, 41) == 42
    assert kernel.adder(3)(4) == 7
    assert kernel.apply(kernel.adder(10), 5) == 15
    assert kernel.apply(kernel.greet, "you who call") == "hello, you who call"
    assert kernel.apply(lambda x: float(np.from_dlpack(x).sum()), np.ones(3)) == 3.0
    assert plain.apply(lambda *values: len(values), 1, 2, 3) == 3


def test_an_exception_of_a_callback_comes_out_as_it_is(kernel, plain):
    error = LookupError("mine")

    def fail(value):
        raise error

    for called in (kernel.apply, plain.apply):
        with pytest.raises(LookupError) as caught:
            called(fail, 1)
        assert caught.value is error
    with pytest.raises(TypeError, match="a native kernel takes no builtins.object"):
        kernel.apply(lambda value: object(), 1)


def test_a_callable_goes_with_the_last_reference(kernel):
    class Counter:
        def __call__(self, value):
            return value

    counter = Counter()
    before = sys.getrefcount(counter)
    assert kernel.apply(counter, 1) == 1
    assert sys.getrefcount(counter) == before
    held = kernel.echo(counter)
    assert sys.getrefcount(counter) == before + 1
    assert held(5) == 5
    del held
    assert sys.getrefcount(counter) == before


# ---- errors ----


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ValueError", ValueError),
        ("TypeError", TypeError),
        ("KeyError", KeyError),
        ("MemoryError", MemoryError),
        ("RuntimeError", RuntimeError),
        ("NotImplementedError", NotImplementedError),
        ("OwnError", RuntimeError),
        ("KeyboardInterrupt", RuntimeError),
        ("print", RuntimeError),
    ],
)
def test_an_error_is_the_exception_of_its_kind(kernel, kind, expected):
    with pytest.raises(expected) as caught:
        kernel.fail(kind, "x must be ü")
    assert type(caught.value) is expected
    assert caught.value.args == ("x must be ü",)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_an_error_says_where_in_the_kernel_it_was(kernel):
    with pytest.raises(TypeError, match="x must be a float") as caught:
        kernel.require_float(np.zeros(2, dtype=np.int32))
    [note] = caught.value.__notes__
    assert note.startswith("in the native function 'require_float', latest call first:\n")


# ---- streams ----


class Managed(ctypes.Structure):
    pass


Managed._fields_ = [
    ("major", ctypes.c_uint32),
    ("minor", ctypes.c_uint32),
    ("ctx", ctypes.c_void_p),
    ("deleter", ctypes.CFUNCTYPE(None, ctypes.POINTER(Managed))),
    ("flags", ctypes.c_uint64),
    ("data", ctypes.c_void_p),
    ("place", ctypes.c_int32),
    ("index", ctypes.c_int32),
    ("ndim", ctypes.c_int32),
    ("code", ctypes.c_uint8),
    ("bits", ctypes.c_uint8),
    ("lanes", ctypes.c_uint16),
    ("shape", ctypes.c_void_p),
    ("strides", ctypes.c_void_p),
    ("byte_offset", ctypes.c_uint64),
]
EXPORT = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(ctypes.c_void_p))
STREAM = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p)
)


class Exchange(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        ("allocate", ctypes.c_void_p),
        ("from_python", EXPORT),
        ("to_python", ctypes.c_void_p),
        ("view", ctypes.c_void_p),
        ("current_stream", STREAM),
    ]


MANAGED = Managed(major=1, place=2, index=3, code=2, bits=32, lanes=1)


@EXPORT
def export_gpu_tensor(tensor, out):
    out[0] = ctypes.addressof(MANAGED)
    return 0


@STREAM
def current_stream(place, index, out):
    out[0] = place * 1000 + index
    return 0


EXCHANGE = Exchange(major=1, minor=3, from_python=export_gpu_tensor, current_stream=current_stream)
EXCHANGE_NAME = b"dlpack_exchange_api"  # the capsule points to it
ctypes.pythonapi.PyCapsule_New.restype = ctypes.py_object
ctypes.pythonapi.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class GpuTensor:
    """A tensor of the GPU number 3, of a library that works on the stream 2003."""

    __dlpack_c_exchange_api__ = ctypes.pythonapi.PyCapsule_New(
        ctypes.addressof(EXCHANGE), EXCHANGE_NAME, None
    )


def test_a_kernel_works_on_the_stream_of_the_tensors_library(kernel):
    assert kernel.stream_of(GpuTensor()) == 2003
    assert kernel.stream_on(2, 3) == 0  # and on no other afterwards
    assert kernel.stream_of(torch.zeros(1)) == 0


class OldManaged(ctypes.Structure):
    _fields_ = [*Managed._fields_[5:], *Managed._fields_[2:4]]  # DLManagedTensor


def capsule(structure, name, place, index):
    """A capsule as DLPack has it, of a scalar on that device, and what it points to."""
    tensor = structure(place=place, index=index, code=2, bits=32, lanes=1)
    if structure is Managed:
        tensor.major = 1
    made = ctypes.pythonapi.PyCapsule_New(ctypes.addressof(tensor), name, None)
    return made, (tensor, name)


class CupyArray:
    """An array as CuPy's were before DLPack 1.0: on a device, and told a stream."""

    def __init__(self, place=2, index=3):
        self.device, self.told, self.alive = (place, index), [], []

    def __dlpack_device__(self):
        return self.device

    def export(self, structure, name, told):
        self.told.append(told)
        made, alive = capsule(structure, name, *self.device)
        self.alive.append(alive)
        return made

    def __dlpack__(self, stream=None):
        return self.export(OldManaged, b"dltensor", {"stream": stream})


class JaxArray(CupyArray):
    """An array whose library gives out nothing older than DLPack 1.0."""

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if max_version is None:
            raise BufferError("this array needs DLPack 1.0")
        told = {"stream": stream, "max_version": max_version}
        return self.export(Managed, b"dltensor_versioned", told)


@pytest.mark.parametrize(
    ("place", "stream"),
    [
        (2, 1),  # CUDA: the legacy default stream
        (13, 1),  # managed by CUDA
        (10, 0),  # ROCm: the default stream
        (1, None),  # the processor's, also where a device reads it, has no streams
        (3, None),
        (11, None),
        (14, None),  # oneAPI: nothing is said of streams
    ],
)
def test_a_tensor_is_asked_for_the_stream_that_the_kernel_works_on(kernel, place, stream):
    old, new = CupyArray(place), JaxArray(place)
    kernel.nothing(old, new)
    assert old.told == [{"stream": stream}]
    assert new.told == [{"stream": stream, "max_version": (1, 1)}]


def test_a_tensor_is_asked_for_the_stream_of_the_tensors_beside_it(kernel):
    before, after, elsewhere = CupyArray(), CupyArray(), CupyArray(index=0)
    kernel.apply(lambda values: None, [before, GpuTensor(), after, elsewhere])
    assert before.told == [{"stream": 1}, {"stream": 2003}]
    assert after.told == [{"stream": 2003}, {"stream": 2003}]
    assert elsewhere.told == [{"stream": 1}, {"stream": 1}]
    assert kernel.stream_of(before) == 0  # of this call


def test_a_tensor_is_asked_for_the_stream_that_the_thread_was_set_to(kernel):
    library = ctypes.CDLL("libtvm_ffi.so")  # of this process: a second one would end it
    array, previous = CupyArray(), ctypes.c_void_p()
    library.TVMFFIEnvSetStream(2, 3, ctypes.c_void_p(77), ctypes.byref(previous))
    try:
        assert kernel.stream_of(array) == 77
    finally:
        library.TVMFFIEnvSetStream(2, 3, previous, None)
    assert array.told == [{"stream": 77}]
    assert kernel.stream_on(2, 3) == 0


def test_a_tensor_that_cannot_be_had_says_why(kernel):
    class Broken(CupyArray):
        def __dlpack__(self, stream=None):
            raise BufferError("the device is gone")

    class Placeless(CupyArray):
        def __dlpack_device__(self):
            raise OSError("no driver")

    with pytest.raises(BufferError, match="the device is gone"):
        kernel.nothing(Broken(), Broken())
    with pytest.raises(OSError, match="no driver"):
        kernel.nothing(Placeless(), Placeless())


# ---- threads ----


def test_threads_call_side_by_side(kernel):
    failed = []

    def work(number):
        x, y = np.full(100, number, dtype=np.float32), np.zeros(100, dtype=np.float32)
        for _ in range(300):
            kernel.add_one(x, y)
            try:
                kernel.fail("ValueError", str(number))
            except ValueError as error:
                if str(error) != str(number) or y[0] != number + 1:
                    failed.append(number)
            if kernel.apply(lambda value: value * 2, number) != number * 2:
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# ---- the GPU ----


def test_without_torch_the_driver_tells_the_gpu(tmp_path):
    """Of a Python without torch on a machine with the runtime of CUDA 12.8."""
    driver = tmp_path / "driver"
    driver.mkdir()
    compile_library(
        driver / "libcuda.so.1", ROOT / "tests/unit/support/fake_cuda/fake_cuda.c", options=["-w"]
    )
    kernel = write_kernel(tmp_path / "k", "plain", variant="tvm-ffi01-cu126-x86_64-linux")
    [metadata] = kernel.rglob("metadata.json")
    about = json.loads(metadata.read_text())
    metadata.write_text(json.dumps(about | {"backend": {"type": "cuda", "archs": ["9.0"]}}))
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))

    def opened(devices):
        return run_python(
            """
            import sys
            from kernels import backends, native
            backends._get_cuda = lambda: backends.parse_backend("cu128")
            try:
                print(native.get_kernel("org/plain").__variant__)
            except (RuntimeError, FileNotFoundError) as error:
                print(error)
            """,
            python=os.environ["KN_TVM_FFI_PYTHON"],
            packages=[tmp_path],
            LOCAL_KERNELS=f"org/plain={kernel}",
            LD_LIBRARY_PATH=str(driver),
            FAKE_CUDA=devices,
        )

    assert opened("90") == "tvm-ffi01-cu126-x86_64-linux\n"
    assert "9.0" in opened("80") and "8.0" in opened("80")


# ---- modules in a library ----


def write_modules(folder, kind):
    """A kernel whose library embeds a module, and unpacks those of that kind."""
    define = [f'FIXTURE_KIND="{kind}"']
    library = compile_tvm_ffi_kernel(folder / "library.so", "tvm_ffi_modules.cpp", define=define)
    return write_kernel(folder / "k", "modules", library)


def test_the_functions_of_a_module_that_the_library_embeds_are_the_kernels_as_well(
    kernel, tmp_path
):
    """`kernel` names libtvm_ffi."""
    modules = native.get_local_kernel(write_modules(tmp_path, "fixture"))
    assert modules.own(1) == 2
    assert modules.imported(2) == 7
    assert modules.through_context(3) == 8
    assert kernel.apply(modules.imported, 4) == 9
    with pytest.raises(TypeError):
        modules.imported("x")
    with pytest.raises(AttributeError, match="the kernel 'modules' .* has no function 'other'"):
        modules.other(1)


def test_a_module_of_a_kind_that_nobody_unpacks_is_an_error_that_names_it(tmp_path):
    printed = run_python(
        """
        import sys
        from kernels import native
        for attempt in range(2):
            try:
                native.get_local_kernel(sys.argv[1], backend="cpu")
            except RuntimeError as error:
                print(error)
        """,
        write_modules(tmp_path, "other"),
        KERNELS_TVM_FFI_LIBRARY=str(tvm_ffi_folder() / "lib" / "libtvm_ffi.so"),
    )
    assert printed.count("created using {fixture} but a loader of that name is not registered") == 2


def test_a_library_that_wants_its_context_gets_it_though_it_names_no_libtvm_ffi(tmp_path):
    library = compile_library(
        tmp_path / "library.so", SOURCES / "context_kernel.c", options=[f"-I{ROOT / 'include'}"]
    )
    code = """
        import sys
        from kernels import native
        try:
            print(native.get_local_kernel(sys.argv[1], backend="cpu").has_context())
        except FileNotFoundError as error:
            print(error)
        """
    kernel = write_kernel(tmp_path / "k", "context", library)
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))
    bare = {"python": os.environ["KN_HUB1_PYTHON"], "packages": [tmp_path]}
    found = str(tvm_ffi_folder() / "lib" / "libtvm_ffi.so")
    assert run_python(code, kernel, **bare, KERNELS_TVM_FFI_LIBRARY=found) == "True\n"
    assert "libtvm_ffi.so is needed here and was not found" in run_python(code, kernel, **bare)


# ---- libtvm_ffi ----

OPEN = """
    import sys
    from kernels import native
    kernel = native.get_local_kernel(sys.argv[1], backend="cpu")
"""


def test_without_libtvm_ffi_it_is_said_what_to_install(written, tmp_path):
    """In a Python without tvm-ffi."""
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))
    printed = run_python(
        """
        import sys
        from kernels import native
        try:
            native.get_local_kernel(sys.argv[1], backend="cpu")
        except FileNotFoundError as error:
            print(error)
        """,
        written,
        python=os.environ["KN_HUB1_PYTHON"],
        packages=[tmp_path],
    )
    assert "install it with 'pip install apache-tvm-ffi'" in printed


IMPORTS = """
from pathlib import Path

import tvm_ffi

ops = tvm_ffi.load_module(Path(__file__).parent / "_written_cpu_1.so")


def add_one(x, y):
    ops.add_one(tvm_ffi.from_dlpack(x), tvm_ffi.from_dlpack(y))
    return y
"""


def test_the_module_of_a_native_build_takes_numpy_arrays_without_torch(written, tmp_path):
    """In a Python with tvm_ffi and NumPy, and without torch."""
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))
    [library] = written.rglob("*.so")
    write_kernel(tmp_path / "hub" / "k", "written", library, code=IMPORTS)
    printed = run_python(
        """
        import sys
        import numpy as np
        import kernels
        kernel = kernels.get_kernel("org/written", backend="cpu")
        x, y = np.arange(3, dtype="float32"), np.zeros(3, dtype="float32")
        print(kernel.add_one(x, y), kernel.ops.add_one(y, x), x)
        norm = kernels.get_kernel("builtin/norm", backend="cpu")
        out = np.zeros((1, 2), dtype="float32")
        norm.rms_norm(out, np.array([[3, 4]], dtype="float32"), np.ones(2, dtype="float32"))
        print(out.round(3), "torch" in sys.modules)
        """,
        python=os.environ["KN_TVM_FFI_PYTHON"],
        packages=[tmp_path],
        LOCAL_KERNELS=f"org/written={tmp_path / 'hub' / 'k'}",
    )
    assert printed == "[1. 2. 3.] None [2. 3. 4.]\n[[0.849 1.131]] False\n"


def test_a_python_without_tvm_ffi_is_told_the_way_that_needs_none(written, tmp_path):
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))
    library = tvm_ffi_folder() / "lib" / "libtvm_ffi.so"
    printed = run_python(
        """
        import sys
        import kernels
        from kernels import native
        try:
            kernels.get_local_kernel(sys.argv[1], backend="cpu")
        except FileNotFoundError as error:
            print(error)
        print(native.get_local_kernel(sys.argv[1], backend="cpu").echo(7))
        """,
        written,
        python=os.environ["KN_HUB1_PYTHON"],
        packages=[tmp_path],
        KERNELS_TVM_FFI_LIBRARY=str(library),
    )
    assert "'pip install apache-tvm-ffi==0.1.*' installs what 'tvm-ffi01-cpu-x86" in printed
    assert "kernels.native.get_kernel calls its functions without that" in printed
    assert printed.endswith("\n7\n")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_what_the_module_of_a_native_build_misses_is_told_with_the_way_without_it(tmp_path):
    kernel = write_kernel(tmp_path / "k", "plain", code="import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as caught:
        kernels.get_local_kernel(kernel, backend="cpu")
    assert caught.value.__notes__[1:] == [
        "kernels.native.get_kernel calls its functions without its Python code"
    ]
    assert native.get_local_kernel(kernel, backend="cpu").echo(7) == 7


def test_the_package_is_found_and_not_imported(written, tmp_path):
    """In a Python without torch."""
    (tmp_path / "kernels").symlink_to(os.path.dirname(kernels.__file__))
    printed = run_python(
        OPEN
        + """
    import numpy
    print(numpy.from_dlpack(kernel.plus_one(numpy.ones(2, dtype="float32"))), repr(kernel)[:23])
    print([name for name in ("torch", "tvm_ffi") if name in sys.modules])
    """,
        written,
        python=os.environ["KN_TVM_FFI_PYTHON"],
        packages=[tmp_path],
    )
    assert printed == "[2. 2.] <native kernel 'written\n[]\n"
