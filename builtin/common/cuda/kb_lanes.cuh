/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KB_LANES_CUH
#define KB_LANES_CUH

/* Loads, stores, conversions, sums and launches of the CUDA kernels. Arithmetic is float32. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "kb_launch.h"
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

/* The same for 16 bytes that nobody reads soon: the second-level cache gives up their line first.
 */
template <typename T, int N> KB_DEVICE void kb_put_streamed(T *to, const float (&values)[N]) {
    kb_pack<T, N> pack;
    static_assert(sizeof pack == 16, "a whole load");
#pragma unroll
    for (int i = 0; i < N; i++) pack.v[i] = kb_from_float<T>(values[i]);
    __stcs(reinterpret_cast<uint4 *>(to), *reinterpret_cast<const uint4 *>(&pack));
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

/* Copies 16 bytes to shared memory while the thread goes on. Copies are gathered into groups;
 * kb_await<N> waits until all but the thread's last N groups are there, for this thread to read. */
KB_DEVICE void kb_copy_ahead(void *shared, const void *from) {
    const unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

KB_DEVICE void kb_end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N> KB_DEVICE void kb_await() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Adds up each of K values over a warp. A lane passes on half of its values at each step, so that
 * this takes few shuffles; value k is then in the lanes from k * 32 / K on. */
template <int K> KB_DEVICE float kb_fold(float (&values)[K]) {
    int step = 16;
#pragma unroll
    for (int half = K / 2; half > 0; half /= 2, step /= 2) {
        const bool upper = threadIdx.x & step;
#pragma unroll
        for (int k = 0; k < half; k++) {
            const float passed = upper ? values[k] : values[k + half];
            values[k] =
                (upper ? values[k + half] : values[k]) + __shfl_xor_sync(0xffffffffu, passed, step);
        }
    }
#pragma unroll
    for (; step > 0; step /= 2) values[0] += __shfl_xor_sync(0xffffffffu, values[0], step);
    return values[0];
}

/* The same with all of them in every lane. */
template <int K> KB_DEVICE void kb_warp_sum(float (&values)[K]) {
    const float mine = kb_fold(values);
#pragma unroll
    for (int k = 0; k < K; k++)
        values[k] = K == 1 ? mine : __shfl_sync(0xffffffffu, mine, k * (32 / K));
}

/* Brings the sums of K values over each warp into the lanes of all, those of warp w into lane w, 0
 * into those that have no warp. The block meets. `room`: 32 * K floats of shared memory. */
template <int K> KB_DEVICE void kb_gather(float (&values)[K], int warps, float *room) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const float mine = kb_fold(values);
    if (lane % (32 / K) == 0) room[lane / (32 / K) * 32 + warp] = mine;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k++) values[k] = lane < warps ? room[k * 32 + lane] : 0.0f;
}

/*
 * Sums of K values over the `lanes` threads of a row: a power of two up to 32, several rows to a
 * warp, or a multiple of 32, one row to a block. The order of addition depends on nothing but
 * `lanes`. Calls in a row alternate between two rooms, so that one barrier a call is enough.
 */
template <int K> KB_DEVICE void kb_row_sum(float (&values)[K], int lanes, float *room) {
    if (lanes < 32) {
#pragma unroll
        for (int step = 16; step > 0; step /= 2)
            if (step < lanes)
#pragma unroll
                for (int k = 0; k < K; k++)
                    values[k] += __shfl_xor_sync(0xffffffffu, values[k], step);
        return;
    }
    if (lanes > 32) kb_gather(values, lanes / 32, room);
    kb_warp_sum(values);
}

/*
 * Sums over numbers x of a row, and with GRADS over a number d beside each, about a pivot: of
 * x - pivot, (x - pivot)^2, d and d (x - pivot). The pivot is one or a few of the x, so that little
 * is lost when the sums about the mean are made of them: one reading and one meeting of the row's
 * threads give what two would.
 */
template <bool GRADS> struct kb_pivot_sums {
    float v[GRADS ? 4 : 2] = {};

    KB_DEVICE void add(float x, float d) {
        v[0] += x;
        v[1] += x * x;
        if constexpr (GRADS) v[2] += d, v[3] += d * x;
    }

    /* Moves the pivot to the mean, which lies farther by what it gives; `share`: 1 / count. */
    KB_DEVICE float settle(float share) {
        const float far = v[0] * share;
        v[1] -= v[0] * far;
        if constexpr (GRADS) v[3] -= v[2] * far;
        return far;
    }

    /* Moves the pivot of `count` numbers back from their mean, which lies `far` beyond it. */
    KB_DEVICE void move_back(float count, float far) {
        v[0] = count * far;
        v[1] += count * far * far;
        if constexpr (GRADS) v[3] += v[2] * far;
    }
};

/*
 * Adds up the sums of the `lanes` threads of a row as kb_row_sum does, each warp's being about
 * `pivot`; gives the row's mean, about which the sums are then. `count`: of what the threads of a
 * warp have together, by the number of the warp. `room`: 96 floats, with GRADS 160.
 */
template <bool GRADS, typename Count>
KB_DEVICE float kb_row_settle(kb_pivot_sums<GRADS> &sums, float pivot, int lanes, float share,
                              Count count, float *room) {
    if (lanes <= 32) {
        kb_row_sum(sums.v, lanes, room);
        return pivot + sums.settle(share);
    }
    const int lane = (int)threadIdx.x % 32, warps = lanes / 32;
    if (lane == 0) room[threadIdx.x / 32] = pivot;
    kb_gather(sums.v, warps, room + 32);
    /* Each lane has a warp's sums, and they move to the mean of the first. */
    const float numbers = lane < warps ? (float)count(lane) : 0.0f;
    float mean = lane < warps ? room[lane] : 0.0f;
    mean += sums.settle(__fdividef(1.0f, fmaxf(numbers, 1.0f)));
    const float first = __shfl_sync(0xffffffffu, mean, 0);
    sums.move_back(numbers, mean - first);
    kb_warp_sum(sums.v);
    return first + sums.settle(share);
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

/* Launches a kernel that begins with kb_begin, with `shared` bytes of shared memory that it does
 * not declare. */
template <typename... P, typename... A>
static cudaError_t kb_launch_shared(void (*kernel)(P...), dim3 grid, dim3 block, int shared,
                                    void *stream, const A &...arguments) {
    enum { ALWAYS_THERE = 32 << 10 };
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = (size_t)shared;
    config.stream = (cudaStream_t)stream;
    config.attrs = &attribute;
    config.numAttrs = kb_facts().overlaps ? 1 : 0;
    cudaError_t error = cudaSuccess;
    if (shared > ALWAYS_THERE)
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    if (error) return error;
    return [&](P... given) {
        void *addresses[] = {&given...};
        return (cudaError_t)kb_cuda_launch(&config, (const void *)kernel, addresses);
    }(P(arguments)...);
}

template <typename... P, typename... A>
static cudaError_t kb_launch(void (*kernel)(P...), dim3 grid, dim3 block, void *stream,
                             const A &...arguments) {
    return kb_launch_shared(kernel, grid, block, 0, stream, arguments...);
}

static inline bool kb_is_aligned(const void *data) { return (uintptr_t)data % 16 == 0; }

/* Whether rows that begin at `data` and lie `stride` elements apart can be moved by 16 bytes. */
static inline bool kb_rows_are_aligned(const void *data, int64_t stride, kb_dtype type) {
    return kb_is_aligned(data) && stride * kb_dtype_size(type) % 16 == 0;
}

#endif
