/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LANES_CUH
#define KB_LANES_CUH

/* Loads, stores, conversions, sums and launches of the CUDA kernels. Arithmetic is float32. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "kb_scalar.h"

#define KB_DEVICE __device__ __forceinline__

using kb_bf16 = __nv_bfloat16;
using kb_half = __half;

/* How many elements a thread moves at a time: 16 bytes, or one where rows are not aligned. */
template <typename T> constexpr int kb_wide = 16 / (int)sizeof(T);

template <typename T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) kb_pack {
    T v[N];
};

KB_DEVICE float kb_to_float(float value) { return value; }
KB_DEVICE float kb_to_float(kb_bf16 value) { return __bfloat162float(value); }
KB_DEVICE float kb_to_float(kb_half value) { return __half2float(value); }

template <typename T> KB_DEVICE T kb_from_float(float value);
template <> KB_DEVICE float kb_from_float<float>(float value) { return value; }
template <> KB_DEVICE kb_bf16 kb_from_float<kb_bf16>(float value) {
    return __float2bfloat16_rn(value);
}
template <> KB_DEVICE kb_half kb_from_float<kb_half>(float value) { return __float2half_rn(value); }

/* The value that is left after storing it as a T. */
template <typename T> KB_DEVICE float kb_rounded(float value) {
    return kb_to_float(kb_from_float<T>(value));
}

template <typename T, int N> KB_DEVICE kb_pack<T, N> kb_get(const T *from) {
    return *reinterpret_cast<const kb_pack<T, N> *>(from);
}

template <typename T, int N> KB_DEVICE void kb_put(T *to, const float (&values)[N]) {
    kb_pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; i++) pack.v[i] = kb_from_float<T>(values[i]);
    *reinterpret_cast<kb_pack<T, N> *>(to) = pack;
}

template <typename T, int N>
KB_DEVICE void kb_widen(const kb_pack<T, N> &pack, float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = kb_to_float(pack.v[i]);
}

/* N elements of T as floats, 16 bytes at a time where they are many. */
template <typename T, int N> KB_DEVICE void kb_get_floats(const T *from, float (&values)[N]) {
    constexpr int step = N < kb_wide<T> ? N : kb_wide<T>;
#pragma unroll
    for (int at = 0; at < N; at += step) {
        kb_pack<T, step> pack = kb_get<T, step>(from + at);
#pragma unroll
        for (int i = 0; i < step; i++) values[at + i] = kb_to_float(pack.v[i]);
    }
}

template <typename T, int N> KB_DEVICE void kb_put_floats(T *to, const float (&values)[N]) {
    constexpr int step = N < kb_wide<T> ? N : kb_wide<T>;
#pragma unroll
    for (int at = 0; at < N; at += step) {
        float some[step];
#pragma unroll
        for (int i = 0; i < step; i++) some[i] = values[at + i];
        kb_put<T, step>(to + at, some);
    }
}

/*
 * Sums of K values over the `lanes` threads of a row: a power of two up to 32, several rows to a
 * warp, or a multiple of 32, one row to a block. The order of addition depends on nothing but
 * `lanes`. `room` is shared memory for 32 times K floats; calls in a row alternate between two of
 * them, so that one barrier a call is enough.
 */
template <int K> KB_DEVICE void kb_row_sum(float (&values)[K], int lanes, float *room) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        if (step < lanes)
#pragma unroll
            for (int k = 0; k < K; k++) values[k] += __shfl_xor_sync(0xffffffffu, values[k], step);
    if (lanes <= 32) return;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, warps = lanes / 32;
    if (lane == 0)
#pragma unroll
        for (int k = 0; k < K; k++) room[k * 32 + warp] = values[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++) values[k] = lane < warps ? room[k * 32 + lane] : 0.0f;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
#pragma unroll
        for (int k = 0; k < K; k++) values[k] += __shfl_xor_sync(0xffffffffu, values[k], step);
}

/*
 * From compute capability 9.0 on, a kernel's blocks are launched while the last ones of the kernel
 * before still run. Each says at its start that the next may come, and waits until the one before
 * is finished and its writes are seen, before it reads or writes anything.
 */
KB_DEVICE void kb_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Reads arguments before kb_begin waits, so that the constant cache has them afterwards. */
template <typename... A> KB_DEVICE void kb_know(A... arguments) {
#ifdef __CUDA_ARCH__
    (..., [](auto argument) { asm volatile("" ::"l"(argument)); }(arguments));
#endif
}

/* What launches need to know of a device; read once for each. */
struct kb_device_facts {
    int processors;
    bool overlaps;
};

static inline kb_device_facts kb_facts() {
    enum { MOST_DEVICES = 64 };
    static int known[MOST_DEVICES]; /* processors * 2 + overlaps; 0: not read */
    int device = 0, processors = 1, major = 0;
    cudaGetDevice(&device);
    int found = device < MOST_DEVICES ? __atomic_load_n(&known[device], __ATOMIC_RELAXED) : 0;
    if (found == 0) {
        cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
        found = processors * 2 + (major >= 9);
        if (device < MOST_DEVICES) __atomic_store_n(&known[device], found, __ATOMIC_RELAXED);
    }
    return {found / 2, found % 2 != 0};
}

/* Launches a kernel that begins with kb_begin. */
template <typename... P, typename... A>
static cudaError_t kb_launch(void (*kernel)(P...), dim3 grid, dim3 block, void *stream,
                             const A &...arguments) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.stream = (cudaStream_t)stream;
    config.attrs = &attribute;
    config.numAttrs = kb_facts().overlaps ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, P(arguments)...);
}

static inline bool kb_is_aligned(const void *data) { return (uintptr_t)data % 16 == 0; }

/* Whether rows that begin at `data` and lie `stride` elements apart can be moved by 16 bytes. */
static inline bool kb_rows_are_aligned(const void *data, int64_t stride, kb_dtype type) {
    return kb_is_aligned(data) && stride * kb_dtype_size(type) % 16 == 0;
}

#endif
