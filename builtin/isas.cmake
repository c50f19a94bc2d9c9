# SPDX-License-Identifier: Apache-2.0
# The instruction sets that kernels have a version for besides the serial one, and what compiles it.
set(KN_BUILTIN_ISAS avx2 avx512 avx512_bf16)
set(KN_BUILTIN_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(KN_BUILTIN_FLAGS_avx512 ${KN_BUILTIN_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(KN_BUILTIN_FLAGS_avx512_bf16 ${KN_BUILTIN_FLAGS_avx512} -mavx512bf16)
