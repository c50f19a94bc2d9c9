/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORM_ROWS_CUH
#define NORM_ROWS_CUH

/* What the forward and the backward kernels of norm have in common. */
#include "kb_lanes.cuh"
#include "norm_cuda.h"

/* The types of a job: T of x; parameters of T, or with MIXED of float32, and y then of either. */
template <typename T, bool MIXED> using parameter_type = std::conditional_t<MIXED, float, T>;

/* N elements of a parameter in as few registers as they need. */
template <typename T, int N, bool MIXED> struct parameter_pack {
    using type = parameter_type<T, MIXED>;
    kb_pack<type, N> pack;

    KB_DEVICE void read(const void *parameter, int64_t at) {
        constexpr int step = N < kb_wide<type> ? N : kb_wide<type>;
#pragma unroll
        for (int k = 0; k < N; k += step) {
            kb_pack<type, step> some = kb_get<type, step>((const type *)parameter + at + k);
#pragma unroll
            for (int i = 0; i < step; i++) pack.v[k + i] = some.v[i];
        }
    }

    /* A weight that is not there is 1. */
    KB_DEVICE void read_weight(const norm_job &job, int64_t at) {
        if (job.weight) {
            read(job.weight, at);
        } else {
#pragma unroll
            for (int i = 0; i < N; i++) pack.v[i] = kb_from_float<type>(1.0f);
        }
    }

    KB_DEVICE float operator[](int i) const { return kb_to_float(pack.v[i]); }
};

KB_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

KB_DEVICE float gate_value(const norm_job &job, float gate) {
    float s = sigmoid(gate);
    return job.gate_kind == NORM_GATE_SILU ? gate * s : s;
}

KB_DEVICE float gate_slope(const norm_job &job, float gate) {
    float s = sigmoid(gate), slope = s * (1.0f - s);
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
