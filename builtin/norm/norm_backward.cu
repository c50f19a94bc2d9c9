/* SPDX-License-Identifier: Apache-2.0 */
#include "norm_rows.cuh"

enum { SMALL_BLOCK = 128, MOST_LANES = 512, MOST_PACKS = 4, REDUCE_ROWS = 32 };

/* How many rows a thread has under way in shared memory, where it reads ahead: one type, packs of
 * 16 bytes and not more of them than there is room for. 0: it reads each row when its turn comes.
 */
template <int N, int PACKS, bool MIXED, bool GATED>
constexpr int rows_ahead = N == 1 || MIXED || PACKS > 2   ? 0
                           : PACKS * (GATED ? 3 : 2) <= 4 ? 3
                                                          : 2;

/* A pack of a row: what is read of x, of the gradient and of the gate. */
template <typename T, int N, bool MIXED, bool GATED> struct row_pack {
    kb_pack<T, N> x;
    float grad[MIXED ? N : 1];
    kb_pack<T, N> narrow_grad;
    kb_pack<T, GATED ? N : 1> gate;

    KB_DEVICE void read(const norm_job &job, int64_t row, int64_t at) {
        x = kb_get<T, N>((const T *)job.x + row * job.x_stride + at);
        if constexpr (MIXED) {
            if (job.y_type == KB_F32)
                kb_get_floats((const float *)job.grad + row * job.grad_stride + at, grad);
            else
                kb_get_floats((const T *)job.grad + row * job.grad_stride + at, grad);
        } else {
            narrow_grad = kb_get<T, N>((const T *)job.grad + row * job.grad_stride + at);
        }
        if constexpr (GATED) gate = kb_get<T, N>((const T *)job.gate + row * job.gate_stride + at);
    }

    enum { STREAMS = GATED ? 3 : 2 };

    /* The same by way of shared memory, where the streams of a pack lie `step` packs apart. */
    static KB_DEVICE void fetch(const norm_job &job, int64_t row, int64_t at, kb_pack<T, N> *to,
                                int step) {
        kb_copy_ahead(to, (const T *)job.x + row * job.x_stride + at);
        kb_copy_ahead(to + step, (const T *)job.grad + row * job.grad_stride + at);
        if constexpr (GATED)
            kb_copy_ahead(to + 2 * step, (const T *)job.gate + row * job.gate_stride + at);
    }

    KB_DEVICE void take(const kb_pack<T, N> *from, int step) {
        x = from[0];
        narrow_grad = from[step];
        if constexpr (GATED) gate = from[2 * step];
    }

    /* The gradient of y, before the gate. */
    KB_DEVICE float outer(int i) const {
        if constexpr (MIXED)
            return grad[i];
        else
            return kb_to_float(narrow_grad.v[i]);
    }

    /* The gate's sigmoid. */
    KB_DEVICE float opened(int i) const {
        if constexpr (GATED)
            return sigmoid<T>(kb_to_float(gate.v[i]));
        else
            return 1.0f;
    }

    /* The gradient of what the weight gave. */
    KB_DEVICE float inner(const norm_job &job, int i, float opened) const {
        if constexpr (GATED)
            return outer(i) * gate_value(job, kb_to_float(gate.v[i]), opened);
        else
            return outer(i);
    }
};

/* What is known of a row after its sums. */
struct row_facts {
    float mean, scale, d_mean, dh_mean;
};

/* The formula of norm_serial.c for one pack; adds to the sums of the parameters. */
template <typename T, int N, bool MIXED, bool CENTERED, bool GATED>
KB_DEVICE void write_pack(const norm_job &job, int64_t row, int64_t at,
                          const row_pack<T, N, MIXED, GATED> &pack,
                          const parameter_pack<T, N, MIXED> &weight, const row_facts &facts,
                          float (&weight_sum)[N], float (&bias_sum)[CENTERED ? N : 1]) {
    float dx[N], gate_grad[GATED ? N : 1];
#pragma unroll
    for (int i = 0; i < N; i++) {
        float h = (kb_to_float(pack.x.v[i]) - facts.mean) * facts.scale;
        const float s = pack.opened(i), g = pack.inner(job, i, s);
        dx[i] = facts.scale * (g * weight[i] - facts.d_mean - h * facts.dh_mean);
        weight_sum[i] += g * h;
        if constexpr (CENTERED) bias_sum[i] += g;
        if constexpr (GATED)
            gate_grad[i] =
                pack.outer(i) * h * weight[i] * gate_slope(job, kb_to_float(pack.gate.v[i]), s);
    }
    if (job.sum_grad) {
        float more[N];
        kb_get_floats((const T *)job.sum_grad + row * job.sum_grad_stride + at, more);
#pragma unroll
        for (int i = 0; i < N; i++) dx[i] += more[i];
    }
    kb_put_floats((T *)job.out + row * job.width + at, dx);
    if constexpr (GATED) kb_put_floats((T *)job.gate_out + row * job.width + at, gate_grad);
}

/* Adds a pack to the sums of a first reading: of x and d, or of x^2 and d x. */
template <typename T, int N, bool MIXED, bool GATED>
KB_DEVICE void add_plain(const norm_job &job, const row_pack<T, N, MIXED, GATED> &pack,
                         const parameter_pack<T, N, MIXED> &weight, bool centered,
                         float (&sums)[2]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        float x = kb_to_float(pack.x.v[i]), d = pack.inner(job, i, pack.opened(i)) * weight[i];
        sums[0] += centered ? x : x * x;
        sums[1] += centered ? d : d * x;
    }
}

/* The same for (x - mean)^2 and d (x - mean). */
template <typename T, int N, bool MIXED, bool GATED>
KB_DEVICE void add_centered(const norm_job &job, const row_pack<T, N, MIXED, GATED> &pack,
                            const parameter_pack<T, N, MIXED> &weight, float mean,
                            float (&sums)[2]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        float x = kb_to_float(pack.x.v[i]) - mean;
        sums[0] += x * x;
        sums[1] += pack.inner(job, i, pack.opened(i)) * weight[i] * x;
    }
}

/* From the sums of x^2 and d x (x less the mean) of a row. */
KB_DEVICE row_facts facts_of(const norm_job &job, const float (&sums)[2], float mean,
                             float d_mean) {
    const float share = 1.0f / (float)job.width, scale = inverse_root(job, sums[0], share);
    return {mean, scale, d_mean, sums[1] * scale * share};
}

/* The facts of a row that the threads have in registers; `room`: 160 floats. */
template <typename T, int N, int PACKS, bool MIXED, bool CENTERED, bool GATED>
KB_DEVICE row_facts meet(const norm_job &job, const row_pack<T, N, MIXED, GATED> (&now)[PACKS],
                         const parameter_pack<T, N, MIXED> (&weight)[PACKS], int packs,
                         float *room) {
    const int lanes = (int)blockDim.x, lane = (int)threadIdx.x;
    const float share = 1.0f / (float)job.width;
    if constexpr (!CENTERED) {
        float sums[2] = {0.0f, 0.0f};
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs) add_plain(job, now[k], weight[k], false, sums);
        kb_row_sum(sums, lanes, room);
        return facts_of(job, sums, 0.0f, 0.0f);
    } else {
        const float pivot = pivot_of(now[0].x, lane < packs, lanes);
        kb_pivot_sums<true> sums;
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs)
#pragma unroll
                for (int i = 0; i < N; i++)
                    sums.add(kb_to_float(now[k].x.v[i]) - pivot,
                             now[k].inner(job, i, 1.0f) * weight[k][i]);
        auto count = [=](int warp) { return warp_count<N, PACKS>(warp, lanes, packs); };
        const float mean = kb_row_settle(sums, pivot, lanes, share, count, room);
        const float about_mean[2] = {positive(sums.v[1]), sums.v[3]};
        return facts_of(job, about_mean, mean, sums.v[2] * share);
    }
}

/*
 * Rows of at most PACKS * blockDim.x packs, each read once. A block goes through many of them, so
 * that the sums over rows stay in registers, and has the next ones on their way to shared memory
 * while it works on this one.
 */
template <typename T, int N, int PACKS, bool MIXED, bool CENTERED, bool GATED>
__global__ void __launch_bounds__(MOST_LANES, PACKS *N <= 8 ? 2 : 1)
    rows_kernel(norm_job job, int64_t rows, int64_t chunks) {
    using pack_of_row = row_pack<T, N, MIXED, GATED>;
    extern __shared__ uint4 ring[];
    __shared__ float room[2][160];
    constexpr int ahead = rows_ahead<N, PACKS, MIXED, GATED>;
    const int lanes = (int)blockDim.x, lane = (int)threadIdx.x, packs = (int)(job.width / N);
    const int threads = lanes * (int)blockDim.y,
              slot_packs = threads * PACKS * pack_of_row::STREAMS;
    const int64_t step = (int64_t)gridDim.x * blockDim.y;
    const int64_t chunk = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    kb_pack<T, N> *mine = (kb_pack<T, N> *)ring + threadIdx.y * lanes + lane;
    pack_of_row now[PACKS];
    parameter_pack<T, N, MIXED> weight[PACKS];
    float weight_sum[PACKS][N] = {}, bias_sum[PACKS][CENTERED ? N : 1] = {};
    kb_begin();
    auto fetch = [&](int64_t row, int slot) {
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < packs && row < rows)
                pack_of_row::fetch(job, row, (k * lanes + lane) * N,
                                   mine + slot * slot_packs + k * pack_of_row::STREAMS * threads,
                                   threads);
        kb_end_group();
    };
    if constexpr (ahead > 0)
#pragma unroll
        for (int i = 0; i < ahead - 1; i++) fetch(chunk + i * step, i);
#pragma unroll
    for (int k = 0; k < PACKS; k++)
        if (k * lanes + lane < packs) weight[k].read_weight(job, (k * lanes + lane) * N);
    /* The same number of turns for all of a block: they meet in the sums. */
    int turn = 0, slot = 0;
    for (int64_t first = (int64_t)blockIdx.x * blockDim.y; first < rows; first += step, turn ^= 1) {
        const int64_t row = first + threadIdx.y;
        const int left = row < rows ? packs : 0;
        if constexpr (ahead > 0) {
            fetch(row + (ahead - 1) * step, slot == 0 ? ahead - 1 : slot - 1);
            kb_await<ahead - 1>();
        }
#pragma unroll
        for (int k = 0; k < PACKS; k++) {
            if (k * lanes + lane >= left) continue;
            if constexpr (ahead > 0)
                now[k].take(mine + slot * slot_packs + k * pack_of_row::STREAMS * threads, threads);
            else
                now[k].read(job, row, (k * lanes + lane) * N);
        }
        slot = slot + 1 == ahead ? 0 : slot + 1;
        const row_facts facts =
            meet<T, N, PACKS, MIXED, CENTERED, GATED>(job, now, weight, left, room[turn]);
#pragma unroll
        for (int k = 0; k < PACKS; k++)
            if (k * lanes + lane < left)
                write_pack<T, N, MIXED, CENTERED, GATED>(job, row, (k * lanes + lane) * N, now[k],
                                                         weight[k], facts, weight_sum[k],
                                                         bias_sum[k]);
    }
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
        int pack = k * lanes + lane;
        if (pack >= packs) continue;
        int64_t at = chunk * job.width + pack * N;
        if (job.weight_sum) kb_put_floats(job.weight_sum + at, weight_sum[k]);
        if constexpr (CENTERED)
            if (job.bias_sum) kb_put_floats(job.bias_sum + at, bias_sum[k]);
    }
}

/* Rows of any length, read again; the sums over rows stay in memory. */
template <typename T, int N, bool MIXED, bool CENTERED, bool GATED>
__global__ void __launch_bounds__(2 * MOST_LANES)
    long_rows_kernel(norm_job job, int64_t rows, int64_t chunks) {
    __shared__ float room[4][64];
    const int lanes = (int)blockDim.x;
    const int64_t packs = job.width / N, chunk = blockIdx.x;
    int turn = 0;
    kb_begin();
    for (int64_t row = chunk; row < rows; row += gridDim.x, turn ^= 2) {
        float sums[2] = {0.0f, 0.0f}, mean = 0.0f, d_mean = 0.0f;
        row_pack<T, N, MIXED, GATED> now;
        parameter_pack<T, N, MIXED> weight;
        for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
            now.read(job, row, pack * N);
            weight.read_weight(job, pack * N);
            add_plain(job, now, weight, CENTERED, sums);
        }
        kb_row_sum(sums, lanes, room[turn]);
        if (CENTERED) {
            mean = sums[0] / (float)job.width;
            d_mean = sums[1] / (float)job.width;
            sums[0] = sums[1] = 0.0f;
            for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
                now.read(job, row, pack * N);
                weight.read_weight(job, pack * N);
                add_centered(job, now, weight, mean, sums);
            }
            kb_row_sum(sums, lanes, room[turn + 1]);
        }
        const row_facts facts = facts_of(job, sums, mean, d_mean);
        for (int64_t pack = threadIdx.x; pack < packs; pack += lanes) {
            float weight_sum[N] = {}, bias_sum[CENTERED ? N : 1] = {};
            int64_t at = chunk * job.width + pack * N;
            now.read(job, row, pack * N);
            weight.read_weight(job, pack * N);
            write_pack<T, N, MIXED, CENTERED, GATED>(job, row, pack * N, now, weight, facts,
                                                     weight_sum, bias_sum);
#pragma unroll
            for (int i = 0; i < N; i++) {
                if (job.weight_sum)
                    job.weight_sum[at + i] =
                        row == chunk ? weight_sum[i] : job.weight_sum[at + i] + weight_sum[i];
                if constexpr (CENTERED)
                    if (job.bias_sum)
                        job.bias_sum[at + i] =
                            row == chunk ? bias_sum[i] : job.bias_sum[at + i] + bias_sum[i];
            }
        }
    }
}

/* Adds up the chunks of one column in a fixed order: REDUCE_ROWS partial sums, then those. */
template <typename P>
__global__ void reduce_kernel(const float *sums, int64_t chunks, int64_t width, P *out) {
    __shared__ float part[REDUCE_ROWS][33];
    const int64_t column = (int64_t)blockIdx.x * 32 + threadIdx.x;
    float total = 0.0f;
    kb_begin();
    if (column < width)
#pragma unroll 8
        for (int64_t chunk = threadIdx.y; chunk < chunks; chunk += REDUCE_ROWS)
            total += sums[chunk * width + column];
    part[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    /* Warp y takes column y of the block. */
    total = part[threadIdx.x][threadIdx.y];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(0xffffffffu, total, step);
    const int64_t at = (int64_t)blockIdx.x * 32 + threadIdx.y;
    if (threadIdx.x == 0 && at < width) out[at] = kb_from_float<P>(total);
}

static cudaError_t reduce(const norm_job &job, const float *sums, int64_t chunks, void *out,
                          void *stream) {
    dim3 grid((unsigned)((job.width + 31) / 32)), block(32, REDUCE_ROWS);
    if (job.param_type == KB_F32)
        return kb_launch(reduce_kernel<float>, grid, block, stream, sums, chunks, job.width,
                         (float *)out);
    if (job.param_type == KB_BF16)
        return kb_launch(reduce_kernel<kb_bf16>, grid, block, stream, sums, chunks, job.width,
                         (kb_bf16 *)out);
    return kb_launch(reduce_kernel<kb_half>, grid, block, stream, sums, chunks, job.width,
                     (kb_half *)out);
}

/* A block has at most MOST_LANES threads, and a processor 1024 at a time. */
extern "C" norm_cuda_shape norm_cuda_backward_shape(const norm_job *job, int64_t rows) {
    norm_cuda_shape shape = {2 * MOST_LANES, 1, 0, 0, 0};
    if (rows <= 0 || job->width <= 0) return shape;
    const bool aligned = job_is_aligned(*job);
    const int64_t packs = job->width / (aligned ? 16 / kb_dtype_size(job->x_type) : 1);
    if (packs <= (int64_t)MOST_PACKS * MOST_LANES) {
        shape.packs = 1;
        while (packs > (int64_t)shape.packs * MOST_LANES) shape.packs *= 2;
        if (!aligned) shape.packs = MOST_PACKS; /* one copy for rows that are not aligned */
        int64_t lanes = (packs + shape.packs - 1) / shape.packs;
        shape.lanes = 1;
        while (shape.lanes < lanes && shape.lanes < 32) shape.lanes *= 2;
        if (lanes > 32) shape.lanes = (int)((lanes + 31) / 32) * 32;
        if (shape.lanes <= 32) shape.groups = SMALL_BLOCK / shape.lanes;
    }
    int64_t blocks = (rows + shape.groups - 1) / shape.groups;
    int64_t most = kb_facts().processors * (int64_t)(1024 / (shape.lanes * shape.groups));
    shape.blocks = (int)(blocks < most ? blocks : most);
    shape.chunks = (int64_t)shape.blocks * shape.groups;
    return shape;
}

template <typename T, int N, bool MIXED, bool CENTERED, bool GATED>
static cudaError_t launch(const norm_job &job, int64_t rows, const norm_cuda_shape &shape,
                          void *stream) {
    dim3 block((unsigned)shape.lanes, (unsigned)shape.groups), grid((unsigned)shape.blocks);
    /* Rows that are not aligned do with one copy. */
    constexpr int one = N > 1 ? 1 : MOST_PACKS, two = N > 1 ? 2 : MOST_PACKS;
    const int threads = shape.lanes * shape.groups;
    if (shape.packs == 0)
        return kb_launch(long_rows_kernel<T, N, MIXED, CENTERED, GATED>, grid, block, stream, job,
                         rows, shape.chunks);
    auto start = [&](auto packs) {
        constexpr int count = decltype(packs)::value;
        constexpr int shared = rows_ahead<N, count, MIXED, GATED> * count *
                               row_pack<T, N, MIXED, GATED>::STREAMS * (int)sizeof(kb_pack<T, N>);
        return kb_launch_shared(rows_kernel<T, N, count, MIXED, CENTERED, GATED>, grid, block,
                                threads * shared, stream, job, rows, shape.chunks);
    };
    if (shape.packs == 1) return start(std::integral_constant<int, one>());
    if (shape.packs == 2) return start(std::integral_constant<int, two>());
    return start(std::integral_constant<int, MOST_PACKS>());
}

template <typename T, int N, bool MIXED>
static cudaError_t launch_kind(const norm_job &job, int64_t rows, const norm_cuda_shape &shape,
                               void *stream) {
    if (job.centered) return launch<T, N, MIXED, true, false>(job, rows, shape, stream);
    return job.gate ? launch<T, N, MIXED, false, true>(job, rows, shape, stream)
                    : launch<T, N, MIXED, false, false>(job, rows, shape, stream);
}

extern "C" int norm_cuda_backward(const norm_job *given, int64_t rows, const norm_cuda_shape *shape,
                                  void *weight_grad, void *bias_grad, void *stream) {
    const norm_job job = *given;
    cudaError_t error = cudaSuccess;
    if (job.width <= 0) return error;
    if (rows > 0)
        error = by_types(job, [&](auto t, auto is_mixed) {
            using T = decltype(t);
            constexpr bool mixed = decltype(is_mixed)::value;
            return job_is_aligned(job)
                       ? launch_kind<T, kb_wide<T>, mixed>(job, rows, *shape, stream)
                       : launch_kind<T, 1, mixed>(job, rows, *shape, stream);
        });
    if (!error && weight_grad)
        error = reduce(job, job.weight_sum, shape->chunks, weight_grad, stream);
    if (!error && bias_grad) error = reduce(job, job.bias_sum, shape->chunks, bias_grad, stream);
    return error;
}
