/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles where what libkernels declares of the ABI is what tvm-ffi's own headers say. */
#include <stddef.h>
#include <tvm/ffi/c_api.h>
#include <tvm/ffi/extra/c_env_api.h>

#include "native/ffi_abi.h"

#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #ours)
#define SAME_PLACE(ours, field, theirs, theirs_field) \
    _Static_assert(offsetof(ours, field) == offsetof(theirs, theirs_field), #ours "." #field)
#define SAME_NUMBER(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #ours)

SAME_SIZE(kn_value, TVMFFIAny);
SAME_PLACE(kn_value, type, TVMFFIAny, type_index);
SAME_PLACE(kn_value, length, TVMFFIAny, small_str_len);
SAME_PLACE(kn_value, as, TVMFFIAny, v_int64);
SAME_SIZE(kn_bytes, TVMFFIByteArray);
SAME_PLACE(kn_bytes, length, TVMFFIByteArray, size);
SAME_SIZE(kn_tensor, DLTensor);
SAME_PLACE(kn_tensor, data, DLTensor, data);
SAME_PLACE(kn_tensor, device, DLTensor, device);
SAME_PLACE(kn_tensor, ndim, DLTensor, ndim);
SAME_PLACE(kn_tensor, dtype, DLTensor, dtype);
SAME_PLACE(kn_tensor, shape, DLTensor, shape);
SAME_PLACE(kn_tensor, strides, DLTensor, strides);
SAME_PLACE(kn_tensor, byte_offset, DLTensor, byte_offset);
SAME_SIZE(kn_dtype, DLDataType);
SAME_PLACE(kn_dtype, bits, DLDataType, bits);
SAME_PLACE(kn_dtype, lanes, DLDataType, lanes);
SAME_SIZE(kn_tensor_device, DLDevice);
SAME_PLACE(kn_tensor_device, index, DLDevice, device_id);
SAME_SIZE(kn_managed_tensor, DLManagedTensorVersioned);
SAME_PLACE(kn_managed_tensor, ctx, DLManagedTensorVersioned, manager_ctx);
SAME_PLACE(kn_managed_tensor, deleter, DLManagedTensorVersioned, deleter);
SAME_PLACE(kn_managed_tensor, flags, DLManagedTensorVersioned, flags);
SAME_PLACE(kn_managed_tensor, tensor, DLManagedTensorVersioned, dl_tensor);
SAME_SIZE(kn_managed_tensor_old, DLManagedTensor);
SAME_PLACE(kn_managed_tensor_old, ctx, DLManagedTensor, manager_ctx);
SAME_PLACE(kn_managed_tensor_old, deleter, DLManagedTensor, deleter);

SAME_SIZE(kni_ffi_object, TVMFFIObject);
SAME_PLACE(kni_ffi_object, count, TVMFFIObject, combined_ref_count);
SAME_PLACE(kni_ffi_object, type, TVMFFIObject, type_index);
SAME_PLACE(kni_ffi_object, deleter, TVMFFIObject, deleter);
SAME_SIZE(kni_ffi_version, TVMFFIVersion);

/* What follows an object's header. */
#define SAME_CELL(ours, first, cell, last, cell_last)                     \
    _Static_assert(offsetof(ours, first) == sizeof(TVMFFIObject), #ours); \
    _Static_assert(offsetof(ours, last) == sizeof(TVMFFIObject) + offsetof(cell, cell_last), #ours)
SAME_CELL(kni_ffi_function, call, TVMFFIFunctionCell, cpp_call, cpp_call);
SAME_CELL(kni_ffi_shape, data, TVMFFIShapeCell, count, size);
SAME_CELL(kni_ffi_text, bytes, TVMFFIByteArray, bytes.length, size);
SAME_CELL(kni_ffi_array, items, TVMFFISeqCell, count, size);
SAME_CELL(kni_ffi_error, kind, TVMFFIErrorCell, backtrace, backtrace);
SAME_CELL(kni_ffi_tensor, tensor, DLTensor, tensor.byte_offset, byte_offset);

SAME_NUMBER(KN_VALUE_NONE, kTVMFFINone);
SAME_NUMBER(KN_VALUE_INT, kTVMFFIInt);
SAME_NUMBER(KN_VALUE_BOOL, kTVMFFIBool);
SAME_NUMBER(KN_VALUE_FLOAT, kTVMFFIFloat);
SAME_NUMBER(KN_VALUE_POINTER, kTVMFFIOpaquePtr);
SAME_NUMBER(KN_VALUE_DTYPE, kTVMFFIDataType);
SAME_NUMBER(KN_VALUE_DEVICE, kTVMFFIDevice);
SAME_NUMBER(KN_VALUE_TENSOR, kTVMFFIDLTensorPtr);
SAME_NUMBER(KN_VALUE_TEXT, kTVMFFIRawStr);
SAME_NUMBER(KN_VALUE_BYTES, kTVMFFIByteArrayPtr);
SAME_NUMBER(KN_VALUE_SMALL_TEXT, kTVMFFISmallStr);
SAME_NUMBER(KN_VALUE_SMALL_BYTES, kTVMFFISmallBytes);
SAME_NUMBER(KN_VALUE_OBJECT, kTVMFFIStaticObjectBegin);
SAME_NUMBER(KN_VALUE_TEXT_OBJECT, kTVMFFIStr);
SAME_NUMBER(KN_VALUE_BYTES_OBJECT, kTVMFFIBytes);
SAME_NUMBER(KN_VALUE_ERROR, kTVMFFIError);
SAME_NUMBER(KN_VALUE_FUNCTION, kTVMFFIFunction);
SAME_NUMBER(KN_VALUE_SHAPE, kTVMFFIShape);
SAME_NUMBER(KN_VALUE_TENSOR_OBJECT, kTVMFFITensor);
SAME_NUMBER(KN_VALUE_ARRAY, kTVMFFIArray);
SAME_NUMBER(KN_VALUE_MAP, kTVMFFIMap);
SAME_NUMBER(KN_VALUE_MODULE, kTVMFFIModule);
SAME_NUMBER(KNI_FFI_DELETE_CONTENT, kTVMFFIObjectDeleterFlagBitMaskStrong);
SAME_NUMBER(KNI_FFI_DELETE_MEMORY, kTVMFFIObjectDeleterFlagBitMaskWeak);
SAME_NUMBER(KNI_FFI_MAJOR, TVM_FFI_VERSION_MAJOR);
SAME_NUMBER(KNI_FFI_MINOR, TVM_FFI_VERSION_MINOR);

SAME_NUMBER(KN_TENSOR_CPU, kDLCPU);
SAME_NUMBER(KN_TENSOR_CUDA, kDLCUDA);
SAME_NUMBER(KN_TENSOR_CUDA_HOST, kDLCUDAHost);
SAME_NUMBER(KN_TENSOR_METAL, kDLMetal);
SAME_NUMBER(KN_TENSOR_ROCM, kDLROCM);
SAME_NUMBER(KN_TENSOR_ROCM_HOST, kDLROCMHost);
SAME_NUMBER(KN_TENSOR_CUDA_MANAGED, kDLCUDAManaged);
SAME_NUMBER(KN_TENSOR_ONEAPI, kDLOneAPI);
SAME_NUMBER(KN_DTYPE_INT, kDLInt);
SAME_NUMBER(KN_DTYPE_UINT, kDLUInt);
SAME_NUMBER(KN_DTYPE_FLOAT, kDLFloat);
SAME_NUMBER(KN_DTYPE_BFLOAT, kDLBfloat);
SAME_NUMBER(KN_DTYPE_COMPLEX, kDLComplex);
SAME_NUMBER(KN_DTYPE_BOOL, kDLBool);
