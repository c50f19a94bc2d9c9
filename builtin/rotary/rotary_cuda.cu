/* SPDX-License-Identifier: Apache-2.0 */
#include "rotary_cuda.h"

#include "kb_lanes.cuh"

/* The heads of a thread: with two, angles are read half as often, and enough threads find room. */
enum { BLOCK = 128, HEADS = 2 };

/* A tensor as the kernel goes through it: of the dimensions over its rows, one along which the
 * angles are the same (the heads) is set apart, so that angles are read once for several rows. */
struct turn_tensor {
    const void *x;
    void *y;
    int ndim; /* of the other dimensions */
    rotary_dim dims[ROTARY_MAX_DIMS];
    rotary_dim heads;
    int64_t chunks; /* of HEADS heads */
    int64_t outer;  /* rows of the other dimensions */
    int64_t count;  /* of threads */
    int64_t blocks;
    bool heads_are_inner; /* in memory */
};

struct turn_job {
    rotary_shape shape;
    const void *cosine, *sine;
    int64_t row_steps; /* threads of a row */
    turn_tensor tensors[2];
};

/* 16 bytes that nobody reads again: the second-level cache gives up their line first. */
template <typename T, int N> KB_DEVICE kb_pack<T, N> get_once(const T *from) {
    static_assert(sizeof(kb_pack<T, N>) == 16, "a whole load");
    const uint4 words = __ldcs(reinterpret_cast<const uint4 *>(from));
    return *reinterpret_cast<const kb_pack<T, N> *>(&words);
}

/*
 * G pairs of a row, from pair `at` on. WIDE: in loads of STEP elements. They stay as they were
 * read, two elements to a register where they are of 16 bits.
 */
template <typename T, int G, int STEP, bool WIDE, bool SIDE> struct pairs {
    kb_pack<T, STEP> parts[2 * G / STEP];

    KB_DEVICE T &element(int i) { return parts[i / STEP].v[i % STEP]; }
    KB_DEVICE float first(int i) { return kb_to_float(element(SIDE ? 2 * i : i)); }
    KB_DEVICE float second(int i) { return kb_to_float(element(SIDE ? 2 * i + 1 : G + i)); }

    /* ONCE: what is read is not read again by others. */
    template <bool ONCE> KB_DEVICE void read(const T *row, int at, int half) {
        if constexpr (!WIDE) {
            element(0) = row[SIDE ? 2 * at : at];
            element(1) = row[SIDE ? 2 * at + 1 : at + half];
        } else {
#pragma unroll
            for (int i = 0; i < 2 * G; i += STEP) {
                int place = SIDE ? 2 * at + i : i < G ? at + i : at + half + i - G;
                if constexpr (ONCE)
                    parts[i / STEP] = get_once<T, STEP>(row + place);
                else
                    parts[i / STEP] = kb_get<T, STEP>(row + place);
            }
        }
    }

    /* Angles: one for each element, or one for both of a pair. */
    KB_DEVICE void read_angles(const T *row, int at, int half, bool shared) {
        if constexpr (SIDE) {
            if (shared) {
#pragma unroll
                for (int i = 0; i < G; i++) element(2 * i) = element(2 * i + 1) = row[at + i];
                return;
            }
        }
        read<false>(row, at, shared ? 0 : half);
    }
};

template <typename T, int G, bool WIDE, bool SIDE>
KB_DEVICE void write_pairs(T *row, int at, int half, const float (&first)[G],
                           const float (&second)[G]) {
    if constexpr (!WIDE) {
        row[SIDE ? 2 * at : at] = kb_from_float<T>(first[0]);
        row[SIDE ? 2 * at + 1 : at + half] = kb_from_float<T>(second[0]);
    } else if constexpr (SIDE) {
        float both[2 * G];
#pragma unroll
        for (int i = 0; i < G; i++) both[2 * i] = first[i], both[2 * i + 1] = second[i];
        kb_put_streamed(row + 2 * at, both);
    } else {
        kb_put_streamed(row + at, first);
        kb_put_streamed(row + at + half, second);
    }
}

struct turn_place {
    int64_t x, y, cosine, sine;
};

/* Where the thread's rows begin; `index` counts the rows of the other dimensions. */
KB_DEVICE turn_place place_of(const turn_tensor &tensor, int64_t index) {
    turn_place at = {0, 0, 0, 0};
    const bool is_short = tensor.outer <= UINT32_MAX;
    for (int d = tensor.ndim - 1; d >= 0; d--) {
        const rotary_dim &dim = tensor.dims[d];
        int64_t i = index;
        if (d > 0) { /* the first takes what is left */
            int64_t left =
                is_short ? (int64_t)((uint32_t)index / (uint32_t)dim.size) : index / dim.size;
            i = index - left * dim.size;
            index = left;
        }
        at.x += i * dim.x;
        at.y += i * dim.y;
        at.cosine += i * dim.cosine;
        at.sine += i * dim.sine;
    }
    return at;
}

KB_DEVICE int64_t quotient(int64_t a, int64_t b, bool is_short) {
    return is_short ? (int64_t)((uint32_t)a / (uint32_t)b) : a / b;
}

/* A thread turns G pairs of up to HEADS rows that have the same angles. */
template <typename T, typename A, int G, bool WIDE, bool SIDE>
__global__ void __launch_bounds__(BLOCK, 8) turn_kernel(turn_job job) {
    const bool is_second = blockIdx.x >= job.tensors[0].blocks;
    const turn_tensor &tensor = job.tensors[is_second ? 1 : 0];
    const int64_t block = blockIdx.x - (is_second ? job.tensors[0].blocks : 0);
    const int64_t index = block * BLOCK + threadIdx.x;
    const bool is_short = tensor.count <= UINT32_MAX;
    const int64_t line = quotient(index, job.row_steps, is_short);
    const int step = (int)(index - line * job.row_steps), half = (int)(job.shape.turned / 2);
    const int64_t parts = tensor.heads_are_inner ? tensor.chunks : tensor.outer;
    const int64_t major = quotient(line, parts, is_short), minor = line - major * parts;
    const turn_place at = place_of(tensor, tensor.heads_are_inner ? major : minor);
    const int64_t head = (tensor.heads_are_inner ? minor : major) * HEADS;
    const T *x = (const T *)tensor.x + at.x + head * tensor.heads.x;
    T *y = (T *)tensor.y + at.y + head * tensor.heads.y;
    const int left = index < tensor.count ? (int)min((int64_t)HEADS, tensor.heads.size - head) : 0;
    const int pair = step * G;
    constexpr int run = SIDE ? 2 * G : G; /* elements that follow each other */
    pairs<T, G, WIDE ? run : 1, WIDE, SIDE> values[HEADS];
    pairs<A, G, WIDE ? (run < kb_wide<A> ? run : kb_wide<A>) : 1, WIDE, SIDE> cosine, sine;
    kb_begin();
    if (pair < half && left > 0) {
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            if (h < left) values[h].template read<true>(x + h * tensor.heads.x, pair, half);
        const A *cosines = (const A *)job.cosine + at.cosine;
        const A *sines = (const A *)job.sine + at.sine;
        cosine.read_angles(cosines, pair, half, job.shape.halved);
        sine.read_angles(sines, pair, half, job.shape.halved);
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (h >= left) continue;
            float first[G], second[G];
#pragma unroll
            for (int i = 0; i < G; i++) {
                float a = values[h].first(i), b = values[h].second(i);
                float across1 = job.shape.transposed ? -sine.second(i) : sine.first(i);
                float across2 = job.shape.transposed ? -sine.first(i) : sine.second(i);
                first[i] = a * cosine.first(i) - b * across1;
                second[i] = b * cosine.second(i) + a * across2;
            }
            write_pairs<T, G, WIDE, SIDE>(y + h * tensor.heads.y, pair, half, first, second);
        }
    }
    for (int64_t i = job.shape.turned + step; i < job.shape.width; i += job.row_steps)
        for (int h = 0; h < left; h++) y[h * tensor.heads.y + i] = x[h * tensor.heads.x + i];
}

/* Sets the heads apart and joins neighbouring dimensions that lie in memory as one. */
static void prepare(const rotary_work *work, const rotary_tensor &from, int64_t row_steps,
                    turn_tensor *out) {
    int heads = -1;
    *out = {};
    out->x = from.x;
    out->y = from.y;
    if (from.rows == 0) return;
    for (int i = 0; i < work->ndim - 1; i++) {
        const rotary_dim &dim = from.dims[i];
        if (dim.size > 1 && dim.cosine == 0 && dim.sine == 0 &&
            (heads < 0 || dim.size > from.dims[heads].size))
            heads = i;
    }
    out->heads = heads < 0 ? rotary_dim{1, 0, 0, 0, 0} : from.dims[heads];
    out->outer = from.rows / out->heads.size;
    for (int i = 0; i < work->ndim - 1; i++) {
        const rotary_dim &dim = from.dims[i];
        if (i == heads || dim.size == 1) continue;
        rotary_dim *last = out->ndim > 0 ? &out->dims[out->ndim - 1] : nullptr;
        if (last && last->x == dim.x * dim.size && last->y == dim.y * dim.size &&
            last->cosine == dim.cosine * dim.size && last->sine == dim.sine * dim.size)
            *last = {last->size * dim.size, dim.x, dim.y, dim.cosine, dim.sine};
        else
            out->dims[out->ndim++] = dim;
    }
    out->chunks = (out->heads.size + HEADS - 1) / HEADS;
    out->count = out->outer * out->chunks * row_steps;
    out->blocks = (out->count + BLOCK - 1) / BLOCK;
    out->heads_are_inner = out->ndim == 0 || out->heads.x < out->dims[out->ndim - 1].x;
}

static bool is_aligned(const rotary_work *work) {
    const rotary_shape &shape = work->shape;
    const int64_t half = shape.turned / 2;
    bool fits = half * kb_dtype_size(shape.type) % 16 == 0 &&
                half * kb_dtype_size(shape.angle_type) % 16 == 0 && kb_is_aligned(work->cosine) &&
                kb_is_aligned(work->sine);
    for (const rotary_tensor &tensor : work->tensors) {
        if (tensor.rows == 0) continue;
        fits = fits && kb_is_aligned(tensor.x) && kb_is_aligned(tensor.y);
        for (int i = 0; i < work->ndim - 1; i++) {
            const rotary_dim &dim = tensor.dims[i];
            if (dim.size == 1) continue;
            fits = fits && dim.x * kb_dtype_size(shape.type) % 16 == 0 &&
                   dim.y * kb_dtype_size(shape.type) % 16 == 0 &&
                   dim.cosine * kb_dtype_size(shape.angle_type) % 16 == 0 &&
                   dim.sine * kb_dtype_size(shape.angle_type) % 16 == 0;
        }
    }
    return fits;
}

template <typename T, typename A, bool WIDE, bool SIDE>
static cudaError_t launch(const rotary_work *work, void *stream) {
    constexpr int pairs_of_thread = !WIDE ? 1 : SIDE ? kb_wide<T> / 2 : kb_wide<T>;
    turn_job job = {work->shape, work->cosine, work->sine, 1, {}};
    const int64_t steps = work->shape.turned / 2 / pairs_of_thread;
    if (steps > 1) job.row_steps = steps;
    for (int i = 0; i < 2; i++) prepare(work, work->tensors[i], job.row_steps, &job.tensors[i]);
    const int64_t blocks = job.tensors[0].blocks + job.tensors[1].blocks;
    if (blocks == 0) return cudaSuccess;
    return kb_launch(turn_kernel<T, A, pairs_of_thread, WIDE, SIDE>, dim3((unsigned)blocks),
                     dim3(BLOCK), stream, job);
}

template <typename T, typename A>
static cudaError_t by_form(const rotary_work *work, void *stream) {
    const bool side = work->shape.style == ROTARY_INTERLEAVED;
    if (is_aligned(work))
        return side ? launch<T, A, true, true>(work, stream)
                    : launch<T, A, true, false>(work, stream);
    return side ? launch<T, A, false, true>(work, stream)
                : launch<T, A, false, false>(work, stream);
}

extern "C" int rotary_cuda_run(const rotary_work *work, void *stream) {
    const bool same = work->shape.angle_type == work->shape.type;
    if (work->shape.type == KB_F32) return by_form<float, float>(work, stream);
    if (work->shape.type == KB_BF16)
        return same ? by_form<kb_bf16, kb_bf16>(work, stream)
                    : by_form<kb_bf16, float>(work, stream);
    return same ? by_form<kb_half, kb_half>(work, stream) : by_form<kb_half, float>(work, stream);
}
