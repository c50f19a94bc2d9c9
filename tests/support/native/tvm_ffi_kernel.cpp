// SPDX-License-Identifier: Apache-2.0
// A kernel that is written with tvm-ffi's own headers, for the tests that have its package.
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/tvm_ffi.h>

#include <string>

namespace ffi = tvm::ffi;

static void nothing(ffi::TensorView, ffi::TensorView) {}

static void add_one(ffi::TensorView x, ffi::TensorView y) {
    TVM_FFI_CHECK(x.dtype() == y.dtype(), TypeError) << "dtypes differ";
    TVM_FFI_CHECK(x.numel() == y.numel(), ValueError) << "sizes differ";
    const float *from = static_cast<const float *>(x.data_ptr());
    float *to = static_cast<float *>(y.data_ptr());
    for (int64_t i = 0; i < x.numel(); i++) to[i] = from[i] + 1;
}

// Allocates its output with what the program that calls has for that.
static ffi::Tensor plus_one(ffi::TensorView x) {
    ffi::Tensor y =
        ffi::Tensor::FromEnvAlloc(TVMFFIEnvTensorAlloc, x.shape(), x.dtype(), x.device());
    add_one(x, y);
    return y;
}

static ffi::Any echo(ffi::AnyView value) { return value; }

static int64_t sum(ffi::Array<int64_t> numbers) {
    int64_t total = 0;
    for (int64_t number : numbers) total += number;
    return total;
}

static ffi::Shape shape_of(ffi::TensorView x) { return ffi::Shape(x.shape()); }

static ffi::Array<int64_t> sizes_of(ffi::TensorView x) {
    return ffi::Array<int64_t>(x.shape().begin(), x.shape().end());
}

static ffi::Tensor keep(ffi::Tensor x) { return x; }

static ffi::String greet(ffi::String name) { return ffi::String("hello, ") + name; }

static ffi::Any apply(ffi::Function function, ffi::AnyView value) { return function(value); }

static ffi::Function adder(int64_t base) {
    return ffi::Function::FromTyped([base](int64_t more) -> int64_t { return base + more; });
}

static void fail(ffi::String kind, ffi::String message) {
    throw ffi::Error(std::string(kind), std::string(message), "");
}

static void require_float(ffi::TensorView x) {
    TVM_FFI_CHECK(x.dtype().code == kDLFloat, TypeError) << "x must be a float";
}

// Of the device of `x`, as an integer.
static int64_t stream_of(ffi::TensorView x) {
    return reinterpret_cast<int64_t>(
        TVMFFIEnvGetStream(x.device().device_type, x.device().device_id));
}

static int64_t stream_on(int64_t type, int64_t id) {
    return reinterpret_cast<int64_t>(
        TVMFFIEnvGetStream(static_cast<int32_t>(type), static_cast<int32_t>(id)));
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(nothing, nothing);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(add_one, add_one);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(plus_one, plus_one);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(echo, echo);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(sum, sum);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(shape_of, shape_of);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(sizes_of, sizes_of);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(keep, keep);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(greet, greet);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(apply, apply);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(adder, adder);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(fail, fail);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(require_float, require_float);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(stream_of, stream_of);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(stream_on, stream_on);
