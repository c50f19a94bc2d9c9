/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles where what builtin/common/kb_tvm_abi.h and kb_dlpack.h declare is what tvm-ffi's headers
 * do. A function that is declared twice must have one type. */
#include <dlpack/dlpack.h>
#include <stddef.h>
#include <tvm/ffi/c_api.h>
#include <tvm/ffi/extra/c_env_api.h>
/* after theirs */
#include "kb_tvm_abi.h"

#define SAME(what, ours, theirs) _Static_assert((ours) == (theirs), what)
#define SAME_SIZE(ours, theirs) SAME(#ours, sizeof(ours), sizeof(theirs))
#define SAME_PLACE(ours, a, theirs, b) SAME(#ours "." #a, offsetof(ours, a), offsetof(theirs, b))

SAME_SIZE(kb_any, TVMFFIAny);
SAME_PLACE(kb_any, type, TVMFFIAny, type_index);
SAME_PLACE(kb_any, small_length, TVMFFIAny, small_str_len);
SAME_PLACE(kb_any, integer, TVMFFIAny, v_int64);
SAME_PLACE(kb_any, number, TVMFFIAny, v_float64);
SAME_PLACE(kb_any, pointer, TVMFFIAny, v_ptr);
SAME_PLACE(kb_any, text, TVMFFIAny, v_c_str);
SAME_PLACE(kb_any, object, TVMFFIAny, v_obj);
SAME_PLACE(kb_any, bytes, TVMFFIAny, v_bytes);
SAME_SIZE(kb_object, TVMFFIObject);
SAME_PLACE(kb_object, references, TVMFFIObject, combined_ref_count);
SAME_PLACE(kb_object, type, TVMFFIObject, type_index);
SAME_PLACE(kb_object, deleter, TVMFFIObject, deleter);
SAME_SIZE(kb_bytes, TVMFFIByteArray);
SAME_PLACE(kb_bytes, data, TVMFFIByteArray, data);
SAME_PLACE(kb_bytes, size, TVMFFIByteArray, size);
SAME("none", KB_ANY_NONE, kTVMFFINone);
SAME("int", KB_ANY_INT, kTVMFFIInt);
SAME("bool", KB_ANY_BOOL, kTVMFFIBool);
SAME("float", KB_ANY_FLOAT, kTVMFFIFloat);
SAME("tensor", KB_ANY_DL_TENSOR, kTVMFFIDLTensorPtr);
SAME("text", KB_ANY_RAW_TEXT, kTVMFFIRawStr);
SAME("small text", KB_ANY_SMALL_TEXT, kTVMFFISmallStr);
SAME("text object", KB_ANY_TEXT, kTVMFFIStr);
SAME("tensor object", KB_ANY_TENSOR, kTVMFFITensor);

SAME_SIZE(kb_dl_tensor, DLTensor);
SAME_PLACE(kb_dl_tensor, data, DLTensor, data);
SAME_PLACE(kb_dl_tensor, device.type, DLTensor, device.device_type);
SAME_PLACE(kb_dl_tensor, device.id, DLTensor, device.device_id);
SAME_PLACE(kb_dl_tensor, ndim, DLTensor, ndim);
SAME_PLACE(kb_dl_tensor, dtype.code, DLTensor, dtype.code);
SAME_PLACE(kb_dl_tensor, dtype.bits, DLTensor, dtype.bits);
SAME_PLACE(kb_dl_tensor, dtype.lanes, DLTensor, dtype.lanes);
SAME_PLACE(kb_dl_tensor, shape, DLTensor, shape);
SAME_PLACE(kb_dl_tensor, strides, DLTensor, strides);
SAME_PLACE(kb_dl_tensor, byte_offset, DLTensor, byte_offset);
SAME("CPU", KB_DL_CPU, kDLCPU);
SAME("CUDA", KB_DL_CUDA, kDLCUDA);
SAME("integers", KB_DL_INT, kDLInt);
SAME("floats", KB_DL_FLOAT, kDLFloat);
SAME("bfloat16", KB_DL_BFLOAT, kDLBfloat);
