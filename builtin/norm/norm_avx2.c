/* SPDX-License-Identifier: Apache-2.0 */
/* The formulas of norm_serial.c, eight lanes at a time, one copy per combination of types. */
#include "kb_avx2.h"
#include "norm_math.h"

typedef struct types {
    kb_dtype x;
    kb_dtype param;
    kb_dtype y;
} types;

/* Lanes `i` and up of one row: all eight, or the last `count` of them. */
KB_INLINE __m256 lanes_get(const void *base, int64_t i, int64_t count, kb_dtype type) {
    return count >= 8 ? kb8_load(base, i, type) : kb8_load_tail(base, i, type, count);
}

KB_INLINE void lanes_put(void *base, int64_t i, int64_t count, kb_dtype type, __m256 values) {
    if (count >= 8)
        kb8_store(base, i, type, values);
    else
        kb8_store_tail(base, i, type, count, values);
}

KB_INLINE __m256 lanes_weight(const norm_job *job, int64_t i, int64_t count, types t) {
    return job->weight ? lanes_get(job->weight, i, count, t.param) : kb8_set(1.0f);
}

KB_INLINE float row_sum(const void *x, int64_t width, kb_dtype type) {
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    int64_t i = 0;
    for (; i + 32 <= width; i += 32) {
        sum0 = _mm256_add_ps(sum0, kb8_load(x, i, type));
        sum1 = _mm256_add_ps(sum1, kb8_load(x, i + 8, type));
        sum2 = _mm256_add_ps(sum2, kb8_load(x, i + 16, type));
        sum3 = _mm256_add_ps(sum3, kb8_load(x, i + 24, type));
    }
    for (; i < width; i += 8) sum0 = _mm256_add_ps(sum0, lanes_get(x, i, width - i, type));
    return kb8_sum(_mm256_add_ps(_mm256_add_ps(sum0, sum1), _mm256_add_ps(sum2, sum3)));
}

KB_INLINE __m256 add_square(__m256 sum, __m256 x, __m256 center) {
    __m256 value = _mm256_sub_ps(x, center);
    return _mm256_fmadd_ps(value, value, sum);
}

KB_INLINE float row_squares(const void *x, int64_t width, kb_dtype type, float mean) {
    __m256 center = kb8_set(mean);
    __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    int64_t i = 0;
    for (; i + 32 <= width; i += 32) {
        sum0 = add_square(sum0, kb8_load(x, i, type), center);
        sum1 = add_square(sum1, kb8_load(x, i + 8, type), center);
        sum2 = add_square(sum2, kb8_load(x, i + 16, type), center);
        sum3 = add_square(sum3, kb8_load(x, i + 24, type), center);
    }
    for (; i + 8 <= width; i += 8) sum0 = add_square(sum0, kb8_load(x, i, type), center);
    if (i < width) {
        __m256 value = _mm256_sub_ps(kb8_load_tail(x, i, type, width - i), center);
        value = kb8_keep(value, width - i); /* the empty lanes hold -mean otherwise */
        sum1 = _mm256_fmadd_ps(value, value, sum1);
    }
    return kb8_sum(_mm256_add_ps(_mm256_add_ps(sum0, sum1), _mm256_add_ps(sum2, sum3)));
}

KB_INLINE float inverse_root(const norm_job *job, float squares) {
    return 1.0f / sqrtf(squares / (float)job->width + job->eps);
}

KB_INLINE void rms_forward_row(const norm_job *job, const void *x, void *y, types t) {
    float scale = inverse_root(job, row_squares(x, job->width, t.x, 0.0f));
    for (int64_t i = 0; i < job->width; i += 8) {
        int64_t count = job->width - i;
        __m256 value = _mm256_mul_ps(lanes_get(x, i, count, t.x), kb8_set(scale));
        if (job->cast_first) value = kb8_round_to(value, t.x);
        lanes_put(y, i, count, t.y, _mm256_mul_ps(value, lanes_weight(job, i, count, t)));
    }
}

KB_INLINE void layer_forward_row(const norm_job *job, const void *x, void *y, types t) {
    float mean = row_sum(x, job->width, t.x) / (float)job->width;
    float scale = inverse_root(job, row_squares(x, job->width, t.x, mean));
    for (int64_t i = 0; i < job->width; i += 8) {
        int64_t count = job->width - i;
        __m256 value = _mm256_sub_ps(lanes_get(x, i, count, t.x), kb8_set(mean));
        value = _mm256_mul_ps(value, kb8_set(scale));
        value = _mm256_mul_ps(value, lanes_weight(job, i, count, t));
        if (job->bias) value = _mm256_add_ps(value, lanes_get(job->bias, i, count, t.param));
        lanes_put(y, i, count, t.y, value);
    }
}

KB_INLINE void sums_add(float *sums, int64_t i, int64_t count, __m256 values) {
    __m256 sum = _mm256_add_ps(lanes_get(sums, i, count, KB_F32), values);
    lanes_put(sums, i, count, KB_F32, sum);
}

KB_INLINE void backward_row(const norm_job *job, int64_t row, float mean, bool centered, types t) {
    const void *x = kb_at(job->x, row * job->x_stride, t.x);
    const void *grad = kb_at(job->grad, row * job->grad_stride, t.y);
    void *out = kb_at_mut(job->out, row * job->width, t.x);
    int64_t width = job->width;
    __m256 scale = kb8_set(inverse_root(job, row_squares(x, width, t.x, mean)));
    __m256 center = kb8_set(mean), d_sum = _mm256_setzero_ps(), dh_sum = d_sum;
    for (int64_t i = 0; i < width; i += 8) {
        int64_t count = width - i; /* beyond it grad is 0, so h need not be */
        __m256 g = lanes_get(grad, i, count, t.y);
        __m256 d = _mm256_mul_ps(g, lanes_weight(job, i, count, t));
        __m256 h = _mm256_mul_ps(_mm256_sub_ps(lanes_get(x, i, count, t.x), center), scale);
        d_sum = _mm256_add_ps(d_sum, d);
        dh_sum = _mm256_fmadd_ps(d, h, dh_sum);
    }
    __m256 d_mean = kb8_set(centered ? kb8_sum(d_sum) / (float)width : 0.0f);
    __m256 dh_mean = kb8_set(kb8_sum(dh_sum) / (float)width);
    for (int64_t i = 0; i < width; i += 8) {
        int64_t count = width - i;
        __m256 g = lanes_get(grad, i, count, t.y);
        __m256 d = _mm256_mul_ps(g, lanes_weight(job, i, count, t));
        __m256 h = _mm256_mul_ps(_mm256_sub_ps(lanes_get(x, i, count, t.x), center), scale);
        __m256 dx = _mm256_fnmadd_ps(h, dh_mean, _mm256_sub_ps(d, d_mean));
        lanes_put(out, i, count, t.x, _mm256_mul_ps(dx, scale));
        if (job->weight_sum) sums_add(job->weight_sum, i, count, _mm256_mul_ps(g, h));
        if (job->bias_sum) sums_add(job->bias_sum, i, count, g);
    }
}

typedef void (*typed_rows)(const norm_job *job, int64_t begin, int64_t end, types t);

KB_INLINE void rms_forward_rows(const norm_job *job, int64_t begin, int64_t end, types t) {
    for (int64_t row = begin; row < end; row++)
        rms_forward_row(job, kb_at(job->x, row * job->x_stride, t.x),
                        kb_at_mut(job->out, row * job->width, t.y), t);
}

KB_INLINE void layer_forward_rows(const norm_job *job, int64_t begin, int64_t end, types t) {
    for (int64_t row = begin; row < end; row++)
        layer_forward_row(job, kb_at(job->x, row * job->x_stride, t.x),
                          kb_at_mut(job->out, row * job->width, t.y), t);
}

KB_INLINE void rms_backward_rows(const norm_job *job, int64_t begin, int64_t end, types t) {
    for (int64_t row = begin; row < end; row++) backward_row(job, row, 0.0f, false, t);
}

KB_INLINE void layer_backward_rows(const norm_job *job, int64_t begin, int64_t end, types t) {
    for (int64_t row = begin; row < end; row++) {
        float sum = row_sum(kb_at(job->x, row * job->x_stride, t.x), job->width, t.x);
        backward_row(job, row, sum / (float)job->width, true, t);
    }
}

/* Calls `rows` with constant types, so that each combination is compiled for itself. */
KB_INLINE void specialize(typed_rows rows, const norm_job *job, int64_t begin, int64_t end) {
    bool same = job->param_type == job->x_type;
    bool wide = job->y_type == KB_F32;
    if (job->x_type == KB_F32)
        rows(job, begin, end, (types){KB_F32, KB_F32, KB_F32});
    else if (job->x_type == KB_BF16 && same)
        rows(job, begin, end, (types){KB_BF16, KB_BF16, KB_BF16});
    else if (job->x_type == KB_BF16)
        rows(job, begin, end, (types){KB_BF16, KB_F32, wide ? KB_F32 : KB_BF16});
    else if (same)
        rows(job, begin, end, (types){KB_F16, KB_F16, KB_F16});
    else
        rows(job, begin, end, (types){KB_F16, KB_F32, wide ? KB_F32 : KB_F16});
}

static void rms_forward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(rms_forward_rows, job, begin, end);
}

static void rms_backward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(rms_backward_rows, job, begin, end);
}

static void layer_forward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(layer_forward_rows, job, begin, end);
}

static void layer_backward(const norm_job *job, int64_t begin, int64_t end) {
    specialize(layer_backward_rows, job, begin, end);
}

const norm_table norm_avx2 = {rms_forward, rms_backward, layer_forward, layer_backward};
