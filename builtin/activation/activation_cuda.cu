/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_cuda.h"
#include "kb_lanes.cuh"

/* For 16-bit results the short forms of exponential and quotient are exact enough. */
template <typename T> KB_DEVICE float times_sigmoid(float x, float v) {
    if constexpr (sizeof(T) == 4)
        return x / (1.0f + expf(-v));
    else
        return __fdividef(x, 1.0f + __expf(-v));
}

/*
 * The normal distribution function. For 16-bit results formula 7.1.26 of Abramowitz and Stegun,
 * Handbook of Mathematical Functions: its error is below 1e-7, and where the result is close to 0
 * smaller yet. `bell` is e^(-x^2 / 2).
 */
template <typename T> KB_DEVICE float normal_cdf(float x, float bell) {
    if constexpr (sizeof(T) == 4) return normcdff(x);
    float t = __fdividef(1.0f, fmaf(0.3275911f * 0.70710678f, fabsf(x), 1.0f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(fmaf(fmaf(p, t, 1.421413741f), t, -0.284496736f), t, 0.254829592f);
    float rest = 0.5f * p * t * bell;
    return x < 0.0f ? rest : 1.0f - rest;
}

/* What the sigmoid is taken of, and its slope, for the kinds that are x sigmoid(v(x)). */
template <activation_kind KIND> KB_DEVICE float sigmoid_argument(float x) {
    if constexpr (KIND == ACTIVATION_SILU) return x;
    if constexpr (KIND == ACTIVATION_QUICK_GELU) return 1.702f * x;
    return 1.5957691216057308f * fmaf(0.044715f * x * x, x, x);
}

template <activation_kind KIND> KB_DEVICE float sigmoid_slope(float x) {
    if constexpr (KIND == ACTIVATION_SILU) return 1.0f;
    if constexpr (KIND == ACTIVATION_QUICK_GELU) return 1.702f;
    return 1.5957691216057308f * fmaf(x * x, 3.0f * 0.044715f, 1.0f);
}

template <typename T, activation_kind KIND> KB_DEVICE float activate(float x) {
    if constexpr (KIND == ACTIVATION_GELU)
        return x * normal_cdf<T>(x, __expf(-0.5f * x * x));
    else
        return times_sigmoid<T>(x, sigmoid_argument<KIND>(x));
}

template <typename T, activation_kind KIND> KB_DEVICE float derivative(float x) {
    if constexpr (KIND == ACTIVATION_GELU) {
        float bounded = fminf(13.0f, fmaxf(-13.0f, x));
        float bell =
            sizeof(T) == 4 ? expf(-0.5f * bounded * bounded) : __expf(-0.5f * bounded * bounded);
        return fmaf(bounded * 0.39894228040143268f, bell, normal_cdf<T>(x, bell));
    } else {
        float s = times_sigmoid<T>(1.0f, sigmoid_argument<KIND>(x));
        return fmaf(x * s * (1.0f - s), sigmoid_slope<KIND>(x), s);
    }
}

/* One row, and what is done with N of its elements. */
template <typename T> struct row_of {
    const T *x, *factor, *grad;
    T *out, *factor_out;

    KB_DEVICE row_of(const activation_job &job, int64_t row)
        : x((const T *)job.x + row * job.x_stride),
          factor((const T *)job.factor + row * job.factor_stride),
          grad((const T *)job.grad + row * job.grad_stride),
          out((T *)job.out + row * job.out_stride),
          factor_out((T *)job.factor_out + row * job.out_stride) {}
};

template <typename T, int N, activation_kind KIND, bool GATED, bool BACKWARD> struct step {
    kb_pack<T, N> x, factor, grad;

    KB_DEVICE void read(const row_of<T> &row, int64_t at) {
        x = kb_get<T, N>(row.x + at);
        if constexpr (GATED) factor = kb_get<T, N>(row.factor + at);
        if constexpr (BACKWARD) grad = kb_get<T, N>(row.grad + at);
    }

    /* The activated value is rounded before the product, as two torch calls would do it. */
    KB_DEVICE void write(const row_of<T> &row, int64_t at) const {
        float out[N], factor_out[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            float a = kb_to_float(x.v[i]);
            float value = !BACKWARD || GATED ? activate<T, KIND>(a) : 0.0f;
            if constexpr (GATED) value = kb_rounded<T>(value);
            if constexpr (!BACKWARD) {
                out[i] = GATED ? value * kb_to_float(factor.v[i]) : value;
            } else {
                float g = kb_to_float(grad.v[i]), inner = g;
                if constexpr (GATED) inner = kb_rounded<T>(g * kb_to_float(factor.v[i]));
                out[i] = inner * derivative<T, KIND>(a);
                factor_out[i] = g * value;
            }
        }
        kb_put<T, N>(row.out + at, out);
        if constexpr (GATED && BACKWARD) kb_put<T, N>(row.factor_out + at, factor_out);
    }
};

enum { SMALL_BLOCK = 64, MIDDLE_BLOCK = 256, LARGE_BLOCK = 512 };

/* How the packs of a job lie: one after the other, or in rows that have gaps between them. */
enum form { FLAT, GATED_FLAT, GATED_ROWS };

/* A pack a thread. Flat memory need not be a multiple of N: the first threads take what is left. */
template <typename T, int N, activation_kind KIND, form FORM, bool BACKWARD>
__global__ void __launch_bounds__(LARGE_BLOCK)
    packs_kernel(activation_job job, int64_t row_packs, int64_t packs) {
    const int64_t pack = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t row = 0;
    if (FORM == GATED_ROWS && pack < packs)
        row = packs <= UINT32_MAX ? (uint32_t)pack / (uint32_t)row_packs : pack / row_packs;
    kb_begin();
    if (pack < packs) {
        step<T, N, KIND, FORM != FLAT, BACKWARD> mine;
        mine.read(row_of<T>(job, row), (pack - row * row_packs) * N);
        mine.write(row_of<T>(job, row), (pack - row * row_packs) * N);
    }
    if (N > 1 && FORM != GATED_ROWS && pack < job.width - packs * N) {
        step<T, 1, KIND, FORM != FLAT, BACKWARD> rest;
        rest.read(row_of<T>(job, 0), packs * N + pack);
        rest.write(row_of<T>(job, 0), packs * N + pack);
    }
}

/* A job whose rows follow each other without gaps is one long row. */
static bool lies_flat(const activation_job &job) {
    return job.x_stride == job.width && job.factor_stride == job.width &&
           (!job.grad || job.grad_stride == job.width) && job.out_stride == job.width;
}

static bool is_aligned(const activation_job &job) {
    return kb_rows_are_aligned(job.x, job.x_stride, job.type) &&
           kb_rows_are_aligned(job.factor, job.factor_stride, job.type) &&
           kb_rows_are_aligned(job.grad, job.grad_stride, job.type) &&
           kb_rows_are_aligned(job.out, job.out_stride, job.type) && kb_is_aligned(job.factor_out);
}

template <typename T, int N, activation_kind KIND, form FORM, bool BACKWARD>
static cudaError_t launch(const activation_job &job, int64_t rows, void *stream) {
    const int64_t row_packs = job.width / N, packs = rows * row_packs;
    /* Small blocks start sooner; of large work, larger ones keep memory's order better. */
    const int64_t processors = kb_facts().processors;
    int64_t block = packs < SMALL_BLOCK * processors ? SMALL_BLOCK : MIDDLE_BLOCK;
    if (packs > 16384 * processors) block = LARGE_BLOCK;
    int64_t blocks = (packs + block - 1) / block;
    dim3 grid((unsigned)(blocks > 0 ? blocks : 1)); /* there may be less than a pack */
    return kb_launch(packs_kernel<T, N, KIND, FORM, BACKWARD>, grid, dim3((unsigned)block), stream,
                     job, row_packs, packs);
}

template <typename T, activation_kind KIND, form FORM, bool BACKWARD>
static cudaError_t by_alignment(activation_job job, int64_t rows, void *stream) {
    bool whole = FORM != GATED_ROWS || job.width % kb_wide<T> == 0;
    return whole && is_aligned(job) ? launch<T, kb_wide<T>, KIND, FORM, BACKWARD>(job, rows, stream)
                                    : launch<T, 1, KIND, FORM, BACKWARD>(job, rows, stream);
}

template <typename T, activation_kind KIND, bool BACKWARD>
static cudaError_t by_form(const activation_job &given, int64_t count, void *stream) {
    if (given.width > 0 && !lies_flat(given))
        return by_alignment<T, KIND, GATED_ROWS, BACKWARD>(given, count, stream);
    activation_job job = given;
    job.width = given.width > 0 ? count * given.width : count;
    job.x_stride = job.factor_stride = job.grad_stride = job.out_stride = 0; /* of one row */
    return given.width > 0 ? by_alignment<T, KIND, GATED_FLAT, BACKWARD>(job, 1, stream)
                           : by_alignment<T, KIND, FLAT, BACKWARD>(job, 1, stream);
}

template <typename T, activation_kind KIND>
static cudaError_t by_direction(const activation_job &job, int64_t count, void *stream) {
    return job.grad ? by_form<T, KIND, true>(job, count, stream)
                    : by_form<T, KIND, false>(job, count, stream);
}

template <typename T>
static cudaError_t by_kind(const activation_job &job, int64_t count, void *stream) {
    switch (job.kind) {
    case ACTIVATION_SILU:
        return by_direction<T, ACTIVATION_SILU>(job, count, stream);
    case ACTIVATION_GELU:
        return by_direction<T, ACTIVATION_GELU>(job, count, stream);
    case ACTIVATION_GELU_TANH:
        return by_direction<T, ACTIVATION_GELU_TANH>(job, count, stream);
    case ACTIVATION_QUICK_GELU:
        return by_direction<T, ACTIVATION_QUICK_GELU>(job, count, stream);
    default:
        return cudaErrorInvalidValue;
    }
}

extern "C" int activation_cuda_run(const activation_job *job, int64_t count, void *stream) {
    if (count <= 0) return cudaSuccess;
    if (job->type == KB_F32) return by_kind<float>(*job, count, stream);
    if (job->type == KB_BF16) return by_kind<kb_bf16>(*job, count, stream);
    return by_kind<kb_half>(*job, count, stream);
}
