/* SPDX-License-Identifier: Apache-2.0 */
#include "loss_cuda.h"

#include <float.h>

#include "kb_lanes.cuh"

/* Four packs a thread stay in registers; longer rows are read again, from the second-level cache
 * where the rows under way fit it. */
enum { LANES = 1024, PACKS = 4 };

/* The largest of a value of each thread; `room` as for kb_row_sum. */
KB_DEVICE float row_max(float value, int lanes, float *room) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    if (lane == 0) room[warp] = value;
    __syncthreads();
    value = lane < lanes / 32 ? room[lane] : -FLT_MAX;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

KB_DEVICE float power(float x, float largest) {
    constexpr float log2_e = 1.4426950408889634f;
    return exp2f((x - largest) * log2_e);
}

/* A thread's share of a row: the largest, the sum of e^(x - largest), the sum of x. */
struct row_part {
    float largest = -FLT_MAX, sum = 0.0f, total = 0.0f;

    template <typename T, int N> KB_DEVICE void add(const kb_pack<T, N> &pack, bool smooth) {
        float x[N], most = largest;
        kb_widen(pack, x);
#pragma unroll
        for (int i = 0; i < N; i++) most = fmaxf(most, x[i]);
        sum *= power(largest, most);
        largest = most;
#pragma unroll
        for (int i = 0; i < N; i++) sum += power(x[i], most);
        if (smooth)
#pragma unroll
            for (int i = 0; i < N; i++) total += x[i];
    }
};

template <typename T, int N>
KB_DEVICE void write_gradient(T *to, const kb_pack<T, N> &pack, int64_t at, int64_t target,
                              float largest, float factor, float flat, float through) {
    float x[N];
    kb_widen(pack, x);
#pragma unroll
    for (int i = 0; i < N; i++) {
        x[i] = fmaf(power(x[i], largest), factor, -flat);
        if (at + i == target) x[i] -= through;
    }
    kb_put<T, N>(to + at, x);
}

/* One row of a block. `SHORT`: it stays in registers. The gradient may take the logits' place. */
template <typename T, int N, bool SHORT>
__global__ void __launch_bounds__(LANES) loss_kernel(loss_job job, const float *scale_on_device) {
    __shared__ float room[3][64];
    const int lanes = (int)blockDim.x;
    const int64_t row = blockIdx.x, packs = job.width / N;
    const T *x = (const T *)job.logits + row * job.stride;
    T *grad = (T *)job.grad + row * job.width;
    const bool smooth = job.smoothing != 0.0f;
    kb_begin();
    const int64_t target = job.targets[row];
    if (target == job.ignore_index) {
        if (job.losses && threadIdx.x == 0) job.losses[row] = 0.0f;
        const float zeros[N] = {};
        if (job.grad)
            for (int64_t pack = threadIdx.x; pack < packs; pack += lanes)
                kb_put<T, N>(grad + pack * N, zeros);
        return;
    }
    const bool is_class = target >= 0 && target < job.width;
    const float at_target = is_class ? kb_to_float(x[target]) : NAN;
    row_part part;
    kb_pack<T, N> kept[PACKS];
    if constexpr (SHORT) {
#pragma unroll
        for (int k = 0; k < PACKS; k++) {
            int64_t pack = k * lanes + threadIdx.x;
            if (pack < packs) kept[k] = kb_get<T, N>(x + pack * N);
        }
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + threadIdx.x < packs) part.add(kept[k], smooth);
    } else {
        int64_t pack = threadIdx.x;
        for (; pack + (PACKS - 1) * lanes < packs; pack += PACKS * lanes) {
#pragma unroll
            for (int k = 0; k < PACKS; k++) kept[k] = kb_get<T, N>(x + (pack + k * lanes) * N);
#pragma unroll
            for (int k = 0; k < PACKS; k++) part.add(kept[k], smooth);
        }
        for (; pack < packs; pack += lanes) part.add(kb_get<T, N>(x + pack * N), smooth);
    }
    /* Its barrier is the one that a gradient in the logits' place needs. */
    const float largest = row_max(part.largest, lanes, room[0]);
    float sums[2] = {part.sum * power(part.largest, largest), part.total};
    kb_row_sum(sums, lanes, room[1]);
    const float log_sum = largest + logf(sums[0]);
    if (job.losses && threadIdx.x == 0) {
        float loss = log_sum - (1.0f - job.smoothing) * at_target;
        if (smooth) loss -= job.smoothing * sums[1] / (float)job.width;
        job.losses[row] = loss + job.z_weight * log_sum * log_sum;
    }
    if (!job.grad) return;
    float scale = job.row_scales ? job.row_scales[row] : job.scale;
    if (scale_on_device) scale *= *scale_on_device;
    if (!is_class) scale = NAN;
    const float factor = (1.0f + 2.0f * job.z_weight * log_sum) / sums[0] * scale;
    const float flat = job.smoothing / (float)job.width * scale;
    const float through = (1.0f - job.smoothing) * scale;
    if constexpr (SHORT) {
#pragma unroll
        for (int k = 0; k < PACKS; k++) {
            int64_t pack = k * lanes + threadIdx.x;
            if (pack < packs)
                write_gradient(grad, kept[k], pack * N, target, largest, factor, flat, through);
        }
    } else {
        /* From the end: that part of the row was read last. */
        int64_t turns = (packs + lanes - 1) / lanes;
#pragma unroll 4
        for (int64_t turn = turns - 1; turn >= 0; turn--) {
            int64_t pack = turn * lanes + threadIdx.x;
            if (pack < packs)
                write_gradient(grad, kb_get<T, N>(x + pack * N), pack * N, target, largest, factor,
                               flat, through);
        }
    }
}

__global__ void __launch_bounds__(LANES)
    scale_kernel(const int64_t *targets, int64_t rows, int64_t ignored, const float *scale,
                 bool mean, float *out) {
    __shared__ float room[64];
    float counted[1] = {0.0f};
    kb_begin();
    int64_t mine = 0;
    if (mean)
        for (int64_t row = threadIdx.x; row < rows; row += LANES) mine += targets[row] != ignored;
    counted[0] = (float)mine; /* sums of integers below 2^24 are exact */
    kb_row_sum(counted, LANES, room);
    if (threadIdx.x == 0) *out = (scale ? *scale : 1.0f) / (mean ? counted[0] : 1.0f);
}

__global__ void __launch_bounds__(LANES)
    sum_kernel(const float *losses, int64_t rows, const float *scale, float *out) {
    __shared__ double room[LANES];
    double total = 0.0;
    kb_begin();
    for (int64_t row = threadIdx.x; row < rows; row += LANES) total += (double)losses[row];
    room[threadIdx.x] = total;
    for (int step = LANES / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < step) room[threadIdx.x] += room[threadIdx.x + step];
    }
    if (threadIdx.x == 0) *out = (float)(scale ? room[0] * (double)*scale : room[0]);
}

template <typename T>
__global__ void __launch_bounds__(256)
    multiply_kernel(T *values, int64_t count, const float *scale) {
    kb_begin();
    const float factor = *scale;
    if (factor == 1.0f) return;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        values[i] = kb_from_float<T>(kb_to_float(values[i]) * factor);
}

template <typename T, int N>
static cudaError_t launch(const loss_job &job, int64_t rows, const float *scale, void *stream) {
    const int64_t packs = job.width / N;
    const bool is_short = packs <= (int64_t)PACKS * LANES;
    int64_t lanes = is_short ? (packs + PACKS - 1) / PACKS : LANES;
    lanes = lanes < 1 ? 32 : (lanes + 31) / 32 * 32;
    auto kernel = is_short ? loss_kernel<T, N, true> : loss_kernel<T, N, false>;
    return kb_launch(kernel, dim3((unsigned)rows), dim3((unsigned)lanes), stream, job, scale);
}

template <typename T>
static cudaError_t by_alignment(const loss_job &job, int64_t rows, const float *scale,
                                void *stream) {
    bool aligned = job.width % kb_wide<T> == 0 && kb_is_aligned(job.grad) &&
                   kb_rows_are_aligned(job.logits, job.stride, job.type);
    return aligned ? launch<T, kb_wide<T>>(job, rows, scale, stream)
                   : launch<T, 1>(job, rows, scale, stream);
}

extern "C" int loss_cuda_scale(const loss_job *job, int64_t rows, const float *scale, bool mean,
                               float *out, void *stream) {
    return kb_launch(scale_kernel, dim3(1), dim3(LANES), stream, job->targets, rows,
                     job->ignore_index, scale, mean, out);
}

extern "C" int loss_cuda_rows(const loss_job *job, int64_t rows, const float *scale, void *stream) {
    if (rows <= 0) return cudaSuccess;
    if (job->type == KB_F32) return by_alignment<float>(*job, rows, scale, stream);
    if (job->type == KB_BF16) return by_alignment<kb_bf16>(*job, rows, scale, stream);
    return by_alignment<kb_half>(*job, rows, scale, stream);
}

extern "C" int loss_cuda_sum(const float *losses, int64_t rows, const float *scale, float *out,
                             void *stream) {
    return kb_launch(sum_kernel, dim3(1), dim3(LANES), stream, losses, rows, scale, out);
}

extern "C" int loss_cuda_multiply(void *values, int64_t count, kb_dtype type, const float *scale,
                                  void *stream) {
    if (count <= 0) return cudaSuccess;
    const int64_t most = 16 * (int64_t)kb_facts().processors, needed = (count + 255) / 256;
    dim3 grid((unsigned)(needed < most ? needed : most)), block(256);
    if (type == KB_F32)
        return kb_launch(multiply_kernel<float>, grid, block, stream, (float *)values, count,
                         scale);
    if (type == KB_BF16)
        return kb_launch(multiply_kernel<kb_bf16>, grid, block, stream, (kb_bf16 *)values, count,
                         scale);
    return kb_launch(multiply_kernel<kb_half>, grid, block, stream, (kb_half *)values, count,
                     scale);
}
