/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_ROWS_CUH
#define NORM_ROWS_CUH

/* What the forward and the backward kernels of norm have in common. */
#include "kb_lanes.cuh"
#include "norm_cuda.h"

/* The types of a job: T of x; parameters of T, or with MIXED of float32, and y then of either. */
template <typename T, bool MIXED> using parameter_type = std::conditional_t<MIXED, float, T>;

/* N elements of a parameter in as few registers as they need: as words of 32 bits, since the
 * elements of a kb_pack that come from either of two places would have a register each. */
template <typename T, int N, bool MIXED> struct parameter_pack {
    using type = parameter_type<T, MIXED>;
    static constexpr int size = (int)sizeof(type), words = N * size < 4 ? 1 : N * size / 4;
    uint32_t word[words];

    KB_DEVICE void read(const void *parameter, int64_t at) {
        constexpr int step = words < 4 ? words : 4;
        const type *from = (const type *)parameter + at;
        if constexpr (N * size < 4) {
            word[0] = *(const uint16_t *)from;
        } else {
#pragma unroll
            for (int k = 0; k < words; k += step) {
                const auto some = kb_get<uint32_t, step>((const uint32_t *)from + k);
#pragma unroll
                for (int i = 0; i < step; i++) word[k + i] = some.v[i];
            }
        }
    }

    /* A weight that is not there is 1. */
    KB_DEVICE void read_weight(const norm_job &job, int64_t at) {
        if (job.weight) {
            read(job.weight, at);
        } else {
            uint32_t one = __float_as_uint(1.0f);
            if constexpr (size == 2) {
                const type short_one = kb_from_float<type>(1.0f);
                one = 0x10001u * *(const uint16_t *)&short_one;
            }
#pragma unroll
            for (int i = 0; i < words; i++) word[i] = one;
        }
    }

    KB_DEVICE float operator[](int i) const {
        if constexpr (size == 4) {
            return __uint_as_float(word[i]);
        } else {
            const uint16_t bits = (uint16_t)(word[i / 2] >> (i % 2 * 16));
            return kb_to_float(*(const type *)&bits);
        }
    }
};

KB_DEVICE float square(float x) { return x * x; }

/* A sum of squares that lost its last digits may have come out below 0; NaN stays. */
KB_DEVICE float positive(float x) { return x < 0.0f ? 0.0f : x; }

/* How many numbers the threads of a warp have of a row of `packs` packs, PACKS to a thread. */
template <int N, int PACKS> KB_DEVICE int warp_count(int warp, int lanes, int packs) {
    if (packs == PACKS * lanes) return 32 * PACKS * N;
    int count = 0;
#pragma unroll
    for (int k = 0; k < PACKS; k++) count += min(max(packs - k * lanes - 32 * warp, 0), 32);
    return count * N;
}

/* About what the sums of a warp, or of the threads of a shorter row, are made: the mean of what the
 * first thread has first; 0 where that is nothing. */
template <typename T, int N>
KB_DEVICE float pivot_of(const kb_pack<T, N> &pack, bool is_there, int lanes) {
    constexpr int some = N < 4 ? N : 4;
    float sum = 0.0f;
    if (is_there)
#pragma unroll
        for (int i = 0; i < some; i++) sum += kb_to_float(pack.v[i]);
    return __shfl_sync(0xffffffffu, sum * (1.0f / some), 0, lanes < 32 ? lanes : 32);
}

/* For 16-bit gates the short forms of exponential and quotient are exact enough. */
template <typename T> KB_DEVICE float sigmoid(float x) {
    return sizeof(T) == 4 ? 1.0f / (1.0f + expf(-x)) : __fdividef(1.0f, 1.0f + __expf(-x));
}

/* What is multiplied with, and its slope; `s`: the gate's sigmoid. */
KB_DEVICE float gate_value(const norm_job &job, float gate, float s) {
    return job.gate_kind == NORM_GATE_SILU ? gate * s : s;
}

KB_DEVICE float gate_slope(const norm_job &job, float gate, float s) {
    float slope = s * (1.0f - s);
    return job.gate_kind == NORM_GATE_SILU ? s + gate * slope : slope;
}

/* `share`: 1 / width. */
KB_DEVICE float inverse_root(const norm_job &job, float squares, float share) {
    return rsqrtf(fmaf(squares, share, job.eps));
}

/* Whether all rows of the job can be moved by 16 bytes. */
static inline bool job_is_aligned(const norm_job &job) {
    return job.width * kb_dtype_size(job.x_type) % 16 == 0 &&
           kb_rows_are_aligned(job.x, job.x_stride, job.x_type) &&
           kb_rows_are_aligned(job.residual, job.residual_stride, job.x_type) &&
           kb_rows_are_aligned(job.gate, job.gate_stride, job.x_type) &&
           kb_rows_are_aligned(job.grad, job.grad_stride, job.y_type) &&
           kb_rows_are_aligned(job.sum_grad, job.sum_grad_stride, job.x_type) &&
           kb_is_aligned(job.weight) && kb_is_aligned(job.bias) && kb_is_aligned(job.sum) &&
           kb_is_aligned(job.out) && kb_is_aligned(job.gate_out);
}

/* Calls `way` with a T and whether the job is mixed. */
template <typename Way> static cudaError_t by_types(const norm_job &job, Way way) {
    bool mixed = job.param_type != job.x_type || job.y_type != job.x_type;
    if (job.x_type == KB_F32) return way(float(), std::false_type());
    if (job.x_type == KB_BF16)
        return mixed ? way(kb_bf16(), std::true_type()) : way(kb_bf16(), std::false_type());
    return mixed ? way(kb_half(), std::true_type()) : way(kb_half(), std::false_type());
}

#endif
