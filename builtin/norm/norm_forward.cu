/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_rows.cuh"

/* The threads of a block where a row takes at most 32. */
enum { SMALL_BLOCK = 128, MOST_LANES = 1024, LAYER_LANES = 768, MOST_PACKS = 4 };

template <typename T, int N, bool MIXED>
KB_DEVICE void put_y(const norm_job &job, int64_t at, const float (&values)[N]) {
    if (MIXED && job.y_type == KB_F32)
        kb_put_floats((float *)job.out + at, values);
    else
        kb_put_floats((T *)job.out + at, values);
}

/* x, or the sum with the residual, which is rounded and stored first. */
template <typename T, int N, bool PLAIN>
KB_DEVICE kb_pack<T, N> input_pack(const norm_job &job, int64_t row, int64_t at) {
    kb_pack<T, N> x = kb_get<T, N>((const T *)job.x + row * job.x_stride + at);
    if (PLAIN || !job.residual) return x;
    kb_pack<T, N> other = kb_get<T, N>((const T *)job.residual + row * job.residual_stride + at);
#pragma unroll
    for (int i = 0; i < N; i++)
        x.v[i] = kb_from_float<T>(kb_to_float(x.v[i]) + kb_to_float(other.v[i]));
    *reinterpret_cast<kb_pack<T, N> *>((T *)job.sum + row * job.width + at) = x;
    return x;
}

/* Weight and bias of a pack; what is not there is not read. */
template <typename T, int N, bool MIXED, bool CENTERED> struct parameters_of {
    parameter_pack<T, N, MIXED> weight, bias;

    KB_DEVICE void read(const norm_job &job, int64_t at) {
        weight.read_weight(job, at);
        if (CENTERED && job.bias) bias.read(job.bias, at);
    }
};

/* The formula of norm_serial.c for one pack. */
template <typename T, int N, bool MIXED, bool CENTERED, bool PLAIN>
KB_DEVICE void output_pack(const norm_job &job, int64_t row, int64_t at, const kb_pack<T, N> &x,
                           const parameters_of<T, N, MIXED, CENTERED> &given, float mean,
                           float scale) {
    float y[N];
    kb_widen(x, y);
#pragma unroll
    for (int i = 0; i < N; i++) {
        y[i] = CENTERED ? (y[i] - mean) * scale : y[i] * scale;
        if (!CENTERED && sizeof(T) < 4 && job.cast_first) y[i] = kb_rounded<T>(y[i]);
        y[i] *= given.weight[i];
    }
    if (CENTERED && job.bias)
#pragma unroll
        for (int i = 0; i < N; i++) y[i] += given.bias[i];
    if (!CENTERED && !PLAIN && job.gate) {
        float gate[N];
        kb_get_floats((const T *)job.gate + row * job.gate_stride + at, gate);
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (!MIXED && job.cast_first) y[i] = kb_rounded<T>(y[i]);
            y[i] *= gate_value(job, gate[i], sigmoid<T>(gate[i]));
        }
    }
    put_y<T, N, MIXED>(job, row * job.width + at, y);
}

/*
 * A row of at most PACKS * blockDim.x packs, which stays in registers. Layer normalization, which
 * has two sums and a bias, has 40 of them a thread.
 */
template <typename T, int N, int PACKS, bool MIXED, bool CENTERED, bool PLAIN>
__global__ void __launch_bounds__(CENTERED &&PACKS <= 2 ? LAYER_LANES : MOST_LANES,
                                  PACKS == 1 || (PACKS == 2 && (PLAIN || CENTERED)) ? 2 : 1)
    row_kernel(norm_job job, int64_t rows, float share) {
    __shared__ float room[96];
    const int lanes = (int)blockDim.x, lane = (int)threadIdx.x;
    const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    const int packs = row < rows ? (int)(job.width / N) : 0;
    constexpr bool early = PACKS == 1 && !MIXED; /* the weight is there before the sums are */
    kb_pack<T, N> x[PACKS];
    parameters_of<T, N, MIXED, CENTERED> given[PACKS];
    kb_know(job.x, job.weight, job.out, job.width, job.x_stride);
    if (CENTERED) kb_know(job.bias);
    kb_begin();
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = k * lanes + lane;
        if (pack < packs) x[k] = input_pack<T, N, PLAIN>(job, row, pack * N);
    }
    if (early)
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs) given[k].read(job, (k * lanes + lane) * N);
    float mean = 0.0f, squares = 0.0f;
    if constexpr (CENTERED) {
        const float pivot = pivot_of(x[0], lane < packs, lanes);
        kb_pivot_sums<false> sums;
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs)
#pragma unroll
                for (int i = 0; i < N; i++) sums.add(kb_to_float(x[k].v[i]) - pivot, 0.0f);
        auto count = [=](int warp) { return warp_count<N, PACKS>(warp, lanes, packs); };
        mean = kb_row_settle(sums, pivot, lanes, share, count, room);
        squares = positive(sums.v[1]);
    } else {
        float sum[1] = {0.0f};
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs)
#pragma unroll
                for (int i = 0; i < N; i++) sum[0] += square(kb_to_float(x[k].v[i]));
        kb_row_sum(sum, lanes, room);
        squares = sum[0];
    }
    const float scale = inverse_root(job, squares, share);
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = k * lanes + lane;
        if (pack >= packs) continue;
        if (!early) given[k].read(job, pack * N);
        output_pack<T, N, MIXED, CENTERED, PLAIN>(job, row, pack * N, x[k], given[k], mean, scale);
    }
}

/* A row of any length, read again (from the second-level cache where it is not too long). */
template <typename T, int N, bool MIXED, bool CENTERED>
__global__ void __launch_bounds__(MOST_LANES) long_kernel(norm_job job, int64_t rows, float share) {
    __shared__ float room[64];
    const int lanes = (int)blockDim.x;
    const int64_t row = blockIdx.x, packs = job.width / N;
    const T *input = (const T *)job.x + row * job.x_stride;
    float sum[1] = {0.0f}, mean = 0.0f;
    kb_begin();
    for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
        kb_pack<T, N> x = input_pack<T, N, false>(job, row, pack * N);
#pragma unroll
        for (int i = 0; i < N; i++) {
            float value = kb_to_float(x.v[i]);
            sum[0] += CENTERED ? value : value * value;
        }
    }
    kb_row_sum(sum, lanes, room);
    if (job.sum) input = (const T *)job.sum + row * job.width; /* each thread what it wrote */
    if (CENTERED) {
        mean = sum[0] * share;
        sum[0] = 0.0f;
        for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
            kb_pack<T, N> x = kb_get<T, N>(input + pack * N);
#pragma unroll
            for (int i = 0; i < N; i++) {
                float value = kb_to_float(x.v[i]) - mean;
                sum[0] += value * value;
            }
        }
        kb_row_sum(sum, lanes, room + 32);
    }
    const float scale = inverse_root(job, sum[0], share);
    for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
        parameters_of<T, N, MIXED, CENTERED> given;
        given.read(job, pack * N);
        output_pack<T, N, MIXED, CENTERED, false>(
            job, row, pack * N, kb_get<T, N>(input + pack * N), given, mean, scale);
    }
}

struct launch_shape {
    int lanes, groups, packs; /* packs 0: long_kernel */
};

static int round_up(int64_t count, int unit) { return (int)((count + unit - 1) / unit) * unit; }

/*
 * Short rows share a warp or a block. A row of its own block takes two packs a thread: the blocks
 * are small, and many of them hide each other's sums. One pack where there is a residual, which
 * brings twice the loads, and where there are too few rows to fill the device: then the time is
 * that of one row, and more threads make it shorter.
 */
static launch_shape shape_of(const norm_job &job, int64_t packs, int64_t rows) {
    if (packs <= 128) {
        int lanes = 1, each = packs > 64 ? 4 : packs > 32 ? 2 : 1;
        while (lanes * each < packs && lanes < 32) lanes *= 2;
        return {lanes, SMALL_BLOCK / lanes, each};
    }
    const bool many = rows >= 2 * (int64_t)kb_facts().processors;
    int each = many && !job.residual ? 2 : 1;
    const int most = job.centered ? LAYER_LANES : MOST_LANES;
    while (each < MOST_PACKS && packs > (int64_t)each * most) each *= 2;
    if (packs > (int64_t)each * MOST_LANES) return {MOST_LANES, 1, 0};
    return {round_up((packs + each - 1) / each, 32), 1, each};
}

template <typename T, int N, bool MIXED, bool CENTERED>
static cudaError_t launch(const norm_job &job, int64_t rows, void *stream) {
    launch_shape shape = shape_of(job, job.width / N, rows);
    dim3 block((unsigned)shape.lanes, (unsigned)shape.groups);
    dim3 grid((unsigned)((rows + shape.groups - 1) / shape.groups));
    /* Rows that are not aligned, or of several types, do with fewer copies. */
    constexpr bool few = N == 1 || MIXED;
    constexpr int one = few ? MOST_PACKS : 1, two = few ? MOST_PACKS : 2;
    const bool plain = !few && !job.residual && !job.gate;
    auto kernel = row_kernel<T, N, MOST_PACKS, MIXED, CENTERED, false>;
    if (shape.packs == 0) kernel = long_kernel<T, N, MIXED, CENTERED>;
    if (shape.packs == 1) kernel = row_kernel<T, N, one, MIXED, CENTERED, false>;
    if (shape.packs == 2) kernel = row_kernel<T, N, two, MIXED, CENTERED, false>;
    if (shape.packs == 1 && plain) kernel = row_kernel<T, N, one, MIXED, CENTERED, !few>;
    if (shape.packs == 2 && plain) kernel = row_kernel<T, N, two, MIXED, CENTERED, !few>;
    return kb_launch(kernel, grid, block, stream, job, rows, 1.0f / (float)job.width);
}

extern "C" int norm_cuda_forward(const norm_job *given, int64_t rows, void *stream) {
    const norm_job job = *given;
    if (rows <= 0 || job.width <= 0) return cudaSuccess;
    return by_types(job, [&](auto t, auto is_mixed) {
        using T = decltype(t);
        constexpr bool mixed = decltype(is_mixed)::value;
        constexpr int wide = kb_wide<T>;
        if (job_is_aligned(job))
            return job.centered ? launch<T, wide, mixed, true>(job, rows, stream)
                                : launch<T, wide, mixed, false>(job, rows, stream);
        return job.centered ? launch<T, 1, mixed, true>(job, rows, stream)
                            : launch<T, 1, mixed, false>(job, rows, stream);
    });
}
