// Direct STH-Conv on NHWC images: no padded copy, no gather, no shift, one pass over the output.
//
// A block is up to VECTORS registers of output channels of one group. Its kernel is a list of steps: one for
// each (tap, run of input channels), each a pointer into the image, a pointer into the packed weights and a
// length. A tile of R pixels of one output row stays in registers over the list. What is padding in height or
// time is a step that is left out; what is padding in width leaves out pixels at the ends of the tile.
// Lists whose weights outgrow the L2 cache are cut in segments, and the sums of a frame wait in a buffer.
#include "blocks.h"
#include "means.h"
#include "sums.h"
#include "tile.h"
#include <stdlib.h>

namespace {

constexpr int MAX_STEPS = 512, MAX_SEGMENTS = 64, MAX_PIXELS = 32;
constexpr int64_t SEGMENT_BYTES = 224 * 1024;   // of weights, in an L2 cache of 1 MiB or more
constexpr int64_t BAND_BYTES = 96 * 1024;         // of input rows

struct Item {   // a step before it is known where the tile lies
    int64_t channel, weights;
    int length, row, column, time;   // offsets of the tap, in pixels and frames
    int fresh;                       // whether no tap before it reads the same pixels, but for one
};

struct Plan {
    Item items[MAX_STEPS];
    int segment_end[MAX_SEGMENTS], segment_scale[MAX_SEGMENTS];   // scale 0: none, 1: alpha_s, 2: alpha_t
    int segments, count, reach;   // reach: rows that taps look up and down
    int turn;                     // the first item of the temporal part
};

// -1 when there are more steps or segments than the tables hold.
int make_plan(const Problem* p, const Block& b, int channels_a_unit, Plan* plan) {
    const Group* g = b.group;
    int64_t weights = 0, started = 0, width = b.vectors * LANES;
    int count = 0, segments = 0;
    int64_t steps = p->kernel_height * p->kernel_width * 2 + p->kernel_time;
    if (steps > MAX_STEPS) return -1;
    for (int part = 0; part < 2; part++) {
        if (part) plan->turn = count;
        int64_t rows = part ? p->kernel_time : p->kernel_height, columns = part ? 1 : p->kernel_width;
        for (int64_t i = 0; i < rows * columns; i++) {
            for (int run = 0; run < (part ? 1 : 2); run++) {
                int64_t begin = part ? g->temporal_begin : g->spatial_begin[run];
                int64_t length = ((part ? g->temporal_end : g->spatial_end[run]) - begin) / channels_a_unit;
                if (!length) continue;
                Item item = {begin / channels_a_unit, weights, (int)length, 0, 0, 0, part || i % columns == 0};
                if (part) item.time = (int)((i - rows / 2) * p->temporal_dilation);
                else {
                    item.row = (int)((i / columns - rows / 2) * p->spatial_dilation);
                    item.column = (int)((i % columns - columns / 2) * p->spatial_dilation);
                }
                plan->items[count++] = item;
                weights += length * width;
            }
            int ends = part && i == rows * columns - 1;
            if (ends || (weights - started) * 4 * 10 > SEGMENT_BYTES * 9) {
                if (segments == MAX_SEGMENTS) return -1;
                plan->segment_scale[segments] = p->alpha_s ? 1 + part : 0;
                plan->segment_end[segments++] = count;
                started = weights;
            }
        }
    }
    plan->segments = segments;
    plan->count = count;
    plan->reach = (int)(p->kernel_height / 2 * p->spatial_dilation);
    return 0;
}

INLINE int clamp(int64_t value, int64_t high) { return (int)(value < 0 ? 0 : value > high ? high : value); }

// The steps of one tile of a row, for a row whose taps all lie inside of the image.
struct Column {
    int64_t column;
    int pixels;
    int ends[MAX_SEGMENTS];   // of the segments, among the steps
    int turn;                 // the first step of the temporal part
    Step* steps;
};

// Cut a row in tiles; `steps` has room for the items of each. The number of tiles.
int make_columns(const Problem* p, const Plan& plan, int vectors, int channels_a_unit, int64_t time,
                 Column* columns, Step* steps) {
    const int64_t channels = p->in_channels / channels_a_unit, stride = p->stride_width;
    int tiles = 0;
    for (int64_t column = 0; column < p->out_width; column += columns[tiles++].pixels) {
        Column& c = columns[tiles];
        c.column = column;
        c.pixels = tile_pixels(p->out_width - column, vectors);
        c.steps = steps + (int64_t)tiles * plan.count;
        int count = 0;
        c.turn = plan.count;
        for (int s = 0, i = 0; s < plan.segments; c.ends[s++] = count)
            for (; i < plan.segment_end[s]; i++) {
                if (i == plan.turn) c.turn = count;
                const Item& item = plan.items[i];
                int64_t frame = time + item.time, first = column * stride + item.column;
                int low = first < 0 ? clamp((-first + stride - 1) / stride, c.pixels) : 0;
                int high = c.pixels - clamp((p->width - first + stride - 1) / stride, c.pixels);
                if (frame < 0 || frame >= p->frames || low + high >= c.pixels) continue;
                int64_t at = ((item.time * p->height + item.row) * p->width + first) * channels;
                c.steps[count++] = {at + item.channel, item.weights, item.length, low, high, item.row, item.fresh};
            }
    }
    return tiles;
}

// Whether the weights were packed for these kernels and this type.
template <class T>
int is_packed(const Problem* p) {
    const int32_t* header = (const int32_t*)p->packed;
    return header[0] == MAGIC && header[1] == LANES && header[2] == T::CHANNELS;
}

struct Scratch {
    float* buffer;
    Column* columns;
    Step *steps, *edge;
    const float* zeros;
};

template <class T>
void run_unit(const Problem* p, const Block& b, const Plan& plan, int64_t image, int64_t first_row,
              int64_t last_row, const Scratch& scratch) {
    typedef typename T::Unit Unit;
    const int width = b.vectors * LANES;
    const int64_t channels = p->in_channels / T::CHANNELS, clip = image / p->frames;
    const Unit* x = (const Unit*)p->x + image * p->height * p->width * channels;
    const Unit* w = (const Unit*)((const char*)p->packed + b.weights);
    typename T::Out* y = (typename T::Out*)p->y + image * p->out_height * p->out_width * p->out_channels + b.begin;
    float coefficients[3][VECTORS * LANES] = {}, turn[VECTORS * LANES] = {};
    const float* sources[3] = {p->bias, p->alpha_s, p->alpha_t};
    for (int i = 0; i < 3; i++)
        if (sources[i])
            memcpy(coefficients[i], sources[i] + (i ? clip * p->out_channels : 0) + b.begin, 4 * b.columns);
    // alpha_s * S + alpha_t * T as (S * turn + T) * alpha_t, so that one set of registers does. An alpha_t of no weight
    // beside alpha_s is taken as 1e-12 of it.
    for (int i = 0; i < width; i++) {
        const float of_s = coefficients[1][i];
        float& of_t = coefficients[2][i];
        const float least = __builtin_fmaxf(__builtin_fabsf(of_s) * 1e-12f, 1e-30f);
        if (__builtin_fabsf(of_t) < least) of_t = __builtin_copysignf(least, of_t);
        turn[i] = of_s / of_t;
    }
    const int tiles = make_columns(p, plan, b.vectors, T::CHANNELS, image % p->frames, scratch.columns, scratch.steps);
    // Few weights: a tile goes through all segments at once and its sums stay in the L1 cache.
    const int whole = b.bytes <= SEGMENT_BYTES * 2;
    for (int outer = 0; outer < (whole ? 1 : plan.segments); outer++)
        for (int64_t row = first_row; row < last_row; row++) {
            const int64_t in_row = row * p->stride_height;
            const int inside = in_row >= plan.reach && in_row + plan.reach < p->height;
            const Unit* xr = x + in_row * p->width * channels;
            for (int c = 0; c < tiles; c++) {
                const Column& column = scratch.columns[c];
                const int64_t pixel = row * p->out_width + column.column;
                for (int s = whole ? 0 : outer; s < (whole ? plan.segments : outer + 1); s++) {
                    int begin = s ? column.ends[s - 1] : 0, count = column.ends[s] - begin;
                    const Step* steps = column.steps + begin;
                    const int scale = plan.segment_scale[s];
                    int turns = scale == 2 ? column.turn - begin : -1;   // negative where all of it is temporal
                    if (!inside) {
                        int kept = 0, kept_turn = -1;
                        for (int i = 0; i < count; i++) {
                            if (i == turns) kept_turn = kept;
                            if (in_row + steps[i].row >= 0 && in_row + steps[i].row < p->height)
                                scratch.edge[kept++] = steps[i];
                        }
                        steps = scratch.edge;
                        count = kept;
                        turns = kept_turn;
                    }
                    const Column& after = scratch.columns[c + 1 < tiles ? c + 1 : 0];
                    const Unit* next = (c + 1 < tiles ? xr : xr + p->stride_height * p->width * channels) +
                                       after.steps[begin < after.ends[s] ? begin : 0].x;
                    Tile tile = {steps, count, turns, turn, p->stride_width * channels, scale ? coefficients[scale] : 0,
                                 scratch.buffer + (whole ? 0 : (pixel - first_row * p->out_width) * width), s > 0, s == plan.segments - 1,
                                 (int)p->relu, b.columns, p->bias ? coefficients[0] : 0, p->out_channels, next};
                    dispatch_tile<T>(column.pixels, b.vectors, tile, xr, w, (const Unit*)scratch.zeros,
                                     y + pixel * p->out_channels);
                }
            }
        }
}

template <class T>
int forward(const Problem* p) {
    if (!is_packed<T>(p)) return 1;
    int count = list_blocks(p, 0), failed = 0;
    Block* blocks = (Block*)malloc(sizeof(Block) * count);
    Plan* plans = (Plan*)malloc(sizeof(Plan) * count);
    float* zeros = (float*)calloc(p->in_channels, sizeof(float));
    if (!blocks || !plans || !zeros) failed = 2;
    if (!failed) list_blocks(p, blocks);
    for (int i = 0; !failed && i < count; i++)
        if (make_plan(p, blocks[i], T::CHANNELS, &plans[i])) failed = 3;
    // All blocks of a band of rows follow each other, so that the band is read from the L2 cache.
    int64_t row_bytes = p->width * p->in_channels * p->stride_height * (int64_t)sizeof(typename T::Unit) / T::CHANNELS;
    int64_t band = clamp(BAND_BYTES / row_bytes, p->out_height);
    if (!band) band = 1;
    int64_t bands = (p->out_height + band - 1) / band;
    band = (p->out_height + bands - 1) / bands;
    int64_t units = failed ? 0 : p->images * bands * count;
    int64_t floats = band * p->out_width * VECTORS * LANES;
    if (floats < MAX_PIXELS * VECTORS * LANES) floats = MAX_PIXELS * VECTORS * LANES;
#pragma omp parallel num_threads((int)p->threads)
    {
        Scratch scratch = {(float*)malloc(sizeof(float) * floats),
                           (Column*)malloc(sizeof(Column) * p->out_width),
                           (Step*)malloc(sizeof(Step) * p->out_width * MAX_STEPS),
                           (Step*)malloc(sizeof(Step) * MAX_STEPS), zeros};
        const int usable = scratch.buffer && scratch.columns && scratch.steps && scratch.edge;
        if (!usable) {
#pragma omp atomic write
            failed = 2;
        }
#pragma omp for schedule(dynamic)
        for (int64_t unit = 0; unit < units; unit++)
            if (usable) {
                int64_t first = unit / count % bands * band, last = first + band;
                run_unit<T>(p, blocks[unit % count], plans[unit % count], unit / count / bands, first,
                            last < p->out_height ? last : p->out_height, scratch);
            }
        free(scratch.edge);
        free(scratch.steps);
        free(scratch.columns);
        free(scratch.buffer);
    }
    free(zeros);
    free(plans);
    free(blocks);
    return failed;
}

template <class T>
int pack(const Problem* p) {
    int count = list_blocks(p, 0);
    Block* blocks = (Block*)malloc(sizeof(Block) * count);
    if (!blocks) return 2;
    list_blocks(p, blocks);
    memset(p->packed, 0, HEADER);
    int32_t header[3] = {MAGIC, LANES, T::CHANNELS};
    memcpy(p->packed, header, sizeof(header));
#pragma omp parallel for num_threads((int)p->threads) schedule(dynamic)
    for (int i = 0; i < count; i++) pack_block<T>(p, blocks[i]);
    free(blocks);
    return 0;
}

}  // namespace


extern "C" int64_t NAMED(sth_packed_bytes)(const Problem* p) {
    int64_t bytes = HEADER;
    for (int64_t i = 0; i < p->group_count; i++)
        for (int64_t begin = p->groups[i].out_begin; begin < p->groups[i].out_end;) {
            Block b = next_block(p, &p->groups[i], begin, 0);
            begin += b.columns;
            bytes += b.bytes;
        }
    return bytes;
}

extern "C" int NAMED(sth_pack)(const Problem* p) {
#ifdef __AVX512BF16__
    if (p->bf16) return pack<BF16>(p);
#endif
    return p->bf16 ? 4 : pack<F32>(p);
}

extern "C" int NAMED(sth_forward)(const Problem* p) {
#ifdef __AVX512BF16__
    if (p->bf16) return forward<BF16>(p);
#endif
    return p->bf16 ? 4 : forward<F32>(p);
}

extern "C" int NAMED(sth_means)(const Problem* p) {
#ifdef __AVX512BF16__
    if (p->bf16) return is_packed<BF16>(p) ? means<BF16>(p) : 1;
#endif
    return p->bf16 ? 4 : is_packed<F32>(p) ? means<F32>(p) : 1;
}
