// STH-Conv whose 3x3 kernels run by Winograd's F(4x4, 3x3): fp32, stride 1, no spatial dilation, AVX-512.
//
// Results are cut in tiles of 4x4, tiles in strips of neighbors in one row, strips in batches that a thread takes.
// For a batch, pixels are transformed once, to 36 matrices of tiles by channels. Each block of output channels
// multiplies them by its 36 matrices of weights (the channels of its group's runs by the block's outputs) and
// transforms the products back, a strip at a time; the tiles of the direct kernel then add the temporal part and
// the rest of the layer while the strip is in the L1 cache.
//
// Kernel height and width of the problem are 6: those of the transformed kernels, packed like any others.
#include "problem.h"
#include "vectors.h"

#if STH_LANES == 16
#include "blocks.h"
#include "tile.h"
#include "transforms.h"
#include <stdlib.h>

namespace {

constexpr int MAX_TAPS = 64;         // of a temporal kernel
// Tiles of a batch: those of one row of ResNet's largest images, but more where the weights, which every batch reads,
// outgrow the L2 cache.
constexpr int64_t FEW = 14, MANY = 32, LARGE_BYTES = 2048 * 1024;
constexpr int64_t LONGEST = 32;      // strip, in tiles

INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Strip {
    int64_t image, row, column;   // of the first result
    int64_t rows, columns;        // results inside of the image
    int64_t tiles;
};

struct Cut {
    int64_t across, down;   // strips of an image
    int64_t length;         // tiles of a strip, but for the last of a row
    int64_t strips, batch;  // strips of all images, and of one batch
};

Cut cut(const Problem* p, int64_t weight_bytes) {
    const int64_t tiles = ceil_div(p->width, SIDE);
    Cut c;
    c.length = ceil_div(tiles, ceil_div(tiles, LONGEST));
    c.across = ceil_div(tiles, c.length);
    c.down = ceil_div(p->height, SIDE);
    c.strips = p->images * c.across * c.down;
    // Batches of equal size, one for each thread at least.
    const int64_t size = weight_bytes > LARGE_BYTES ? MANY : FEW;
    const int64_t batches = (c.strips * c.length + size / 2) / size;
    c.batch = ceil_div(c.strips, batches > p->threads ? batches : p->threads);
    return c;
}

Strip strip_at(const Problem* p, const Cut& c, int64_t index) {
    Strip s;
    s.image = index / (c.across * c.down);
    s.row = index / c.across % c.down * SIDE;
    s.column = index % c.across * c.length * SIDE;
    s.rows = p->height - s.row < SIDE ? p->height - s.row : SIDE;
    s.columns = p->width - s.column < c.length * SIDE ? p->width - s.column : c.length * SIDE;
    s.tiles = ceil_div(s.columns, SIDE);
    return s;
}

struct Scratch {
    float* pixels;     // transformed: 36 x tiles x channels
    float* products;   // of one block: tiles x 36 x its outputs
    float* sums;       // of one strip: 4 rows x columns x the block's outputs
    const float* zeros;
};

struct Layout {
    int64_t channels;   // of transformed pixels: those of the input, rounded up to registers
    int64_t point;      // floats between the matrices: no power of two, which would share few sets of the cache
};

void transform_strip(const Problem* p, const Strip& s, const Layout& layout, const float* zeros, float* to) {
    const int64_t channels = p->in_channels, pitch = p->width * channels;
    const float* image = (const float*)p->x + s.image * p->height * pitch;
    Patch patch;
    patch.pixel = channels;
    for (int64_t t = 0; t < s.tiles; t++, to += layout.channels) {
        const int64_t column = s.column + t * SIDE - 1;
        __mmask16 inside[PATCH];
        for (int i = 0; i < PATCH; i++) {
            const int64_t row = s.row + i - 1;
            patch.rows[i] = row < 0 || row >= p->height ? zeros : image + row * pitch + column * channels;
            inside[i] = column + i < 0 || column + i >= p->width ? 0 : 0xffff;
            patch.columns[i] = inside[i];
        }
        int64_t c = 0;
        for (; c + LANES <= channels; c += LANES) transform_patch(patch, c, to + c, layout.point);
        if (c == channels) continue;
        for (int i = 0; i < PATCH; i++) patch.columns[i] = inside[i] & (__mmask16)((1 << (channels - c)) - 1);
        transform_patch(patch, c, to + c, layout.point);
    }
}

struct Product {
    int64_t begin[2], length[2];   // runs of channels
    int64_t pixel, out_tile;       // floats between tiles of the transformed pixels, and of the products
};

// The products of R tiles at one point, while lines from `ahead` on are brought near.
template <int R, int NV>
__attribute__((noinline)) void multiply(const Product& q, const float* x, const float* w, float* y,
                                        const float* ahead) {
    Vec sums[R][NV] = {};
    for (int run = 0; run < 2; run++) {
        if (!q.length[run]) continue;
        accumulate<F32, R, NV, 0, 0, true>(sums, x + q.begin[run], w, (int)q.length[run], q.pixel, ahead);
        w += q.length[run] * NV * LANES;
        ahead += q.length[run] * LINE;
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) store(y + r * q.out_tile + v * LANES, sums[r][v]);
}

void dispatch_multiply(int tiles, int vectors, const Product& q, const float* x, const float* w, float* y,
                       const float* ahead) {
#define TILES(R, NV) \
    if (tiles == R && vectors == NV) return multiply<R, NV>(q, x, w, y, ahead);
    TILES(28, 1) TILES(14, 2) TILES(7, 4) TILES(14, 1) TILES(7, 1) TILES(7, 2)
    TILES(4, 1) TILES(2, 1) TILES(1, 1) TILES(4, 2) TILES(2, 2) TILES(1, 2) TILES(4, 4) TILES(2, 4) TILES(1, 4)
#undef TILES
}

void multiply_batch(const Block& b, const Layout& layout, const float* weights, int64_t tiles,
                    const Scratch& scratch) {
    const Group* g = b.group;
    const int64_t width = b.vectors * LANES, length = run_length(g, 0) + run_length(g, 1);
    const Product q = {{g->spatial_begin[0], g->spatial_begin[1]},
                       {run_length(g, 0), run_length(g, 1)},
                       layout.channels,
                       POINTS * width};
    for (int point = 0; point < POINTS; point++) {
        const float* x = scratch.pixels + point * layout.point;
        float* y = scratch.products + point * width;
        const float* ahead = weights + length * width;
        for (int64_t t = 0; t < tiles;) {
            const int some = tile_pixels(tiles - t, b.vectors);
            dispatch_multiply(some, b.vectors, q, x + t * layout.channels, weights, y + t * q.out_tile, ahead);
            t += some;
            ahead += length * LINE;
        }
        weights += length * width;
    }
}

struct Coefficients {
    float bias[VECTORS * LANES], spatial[VECTORS * LANES], temporal[VECTORS * LANES];
};

Coefficients coefficients_of(const Problem* p, const Block& b, int64_t clip) {
    Coefficients c = {};
    const int64_t at = clip * p->out_channels + b.begin;
    if (p->bias) memcpy(c.bias, p->bias + b.begin, sizeof(float) * b.columns);
    for (int i = 0; i < VECTORS * LANES; i++) c.spatial[i] = 1;
    if (p->alpha_s) memcpy(c.spatial, p->alpha_s + at, sizeof(float) * b.columns);
    if (p->alpha_t) memcpy(c.temporal, p->alpha_t + at, sizeof(float) * b.columns);
    return c;
}

// The temporal taps that meet a frame of the clip.
int list_steps(const Problem* p, const Block& b, int64_t frame, Step* steps) {
    const Group* g = b.group;
    const int64_t length = g->temporal_end - g->temporal_begin;
    int count = 0;
    for (int64_t tap = 0; length && tap < p->kernel_time; tap++) {
        const int64_t offset = (tap - p->kernel_time / 2) * p->temporal_dilation;
        if (frame + offset < 0 || frame + offset >= p->frames) continue;
        const int64_t at = offset * p->height * p->width * p->in_channels + g->temporal_begin;
        steps[count++] = {at, tap * length * b.vectors * LANES, (int)length, 0, 0, 0, 1};
    }
    return count;
}

// One strip of one block: the products back to pixels, then the temporal part, coefficients, bias and ReLU.
void finish_strip(const Problem* p, const Block& b, const Strip& s, const float* products, const float* weights,
                  const Scratch& scratch) {
    const int64_t width = b.vectors * LANES, row = s.tiles * SIDE * width;
    const int spatial = products != 0;
    const Coefficients c = coefficients_of(p, b, s.image / p->frames);
    for (int64_t t = 0; spatial && t < s.tiles; t++)
        for (int v = 0; v < b.vectors; v++)
            transform_result(products + t * POINTS * width + v * LANES, width, load(c.spatial + v * LANES),
                             scratch.sums + t * SIDE * width + v * LANES, row, width);
    Step steps[MAX_TAPS];
    const int count = list_steps(p, b, s.image % p->frames, steps);
    const int64_t first = (s.image * p->height + s.row) * p->width + s.column;
    for (int64_t i = 0; i < s.rows; i++)
        for (int64_t j = 0; j < s.columns;) {
            const int some = tile_pixels(s.columns - j, b.vectors);
            const float* x = (const float*)p->x + (first + i * p->width + j) * p->in_channels;
            const int64_t onward = j + some < s.columns ? some : p->width - j;
            Tile tile = {steps, count, -1, 0, p->in_channels, p->alpha_t ? c.temporal : 0,
                         scratch.sums + i * row + j * width, spatial, 1, (int)p->relu, b.columns,
                         p->bias ? c.bias : 0, p->out_channels,
                         x + onward * p->in_channels + (count ? steps[0].x : 0)};
            float* y = (float*)p->y + (first + i * p->width + j) * p->out_channels + b.begin;
            dispatch_tile<F32>(some, b.vectors, tile, x, weights, scratch.zeros, y);
            j += some;
        }
}

void run_batch(const Problem* p, const Block* blocks, int count, const Cut& c, const Layout& layout,
               int64_t first, const Scratch& scratch) {
    const int64_t last = first + c.batch < c.strips ? first + c.batch : c.strips;
    int64_t tiles = 0;
    for (int64_t i = first; i < last; i++) {
        const Strip s = strip_at(p, c, i);
        transform_strip(p, s, layout, scratch.zeros, scratch.pixels + tiles * layout.channels);
        tiles += s.tiles;
    }
    for (int k = 0; k < count; k++) {
        const Block& b = blocks[k];
        const int64_t width = b.vectors * LANES, length = run_length(b.group, 0) + run_length(b.group, 1);
        const float* weights = (const float*)((const char*)p->packed + b.weights);
        if (length) multiply_batch(b, layout, weights, tiles, scratch);
        const float* products = length ? scratch.products : 0;
        for (int64_t i = first; i < last; i++) {
            const Strip s = strip_at(p, c, i);
            finish_strip(p, b, s, products, weights + POINTS * length * width, scratch);
            if (products) products += s.tiles * POINTS * width;
        }
    }
}

float* reserve(int64_t floats) {
    void* found = 0;
    return posix_memalign(&found, 64, sizeof(float) * floats) ? 0 : (float*)found;
}

int winograd(const Problem* p) {
    const int32_t* header = (const int32_t*)p->packed;
    if (header[0] != MAGIC || header[1] != LANES || header[2] != 1) return 1;
    if (p->kernel_time > MAX_TAPS) return 3;
    const int count = list_blocks(p, 0);
    Layout layout;
    layout.channels = ceil_div(p->in_channels, LANES) * LANES;
    Block* blocks = (Block*)malloc(sizeof(Block) * count);
    float* zeros = (float*)calloc(PATCH * layout.channels, sizeof(float));
    int failed = blocks && zeros ? 0 : 2;
    if (!failed) list_blocks(p, blocks);
    const Cut c = cut(p, failed ? 0 : blocks[count - 1].weights + blocks[count - 1].bytes);
    const int64_t tiles = c.batch * c.length;
    layout.point = tiles * layout.channels + LANES;
#pragma omp parallel num_threads((int)p->threads)
    {
        const Scratch scratch = {reserve(POINTS * layout.point), reserve(tiles * POINTS * VECTORS * LANES),
                                 reserve(SIDE * SIDE * c.length * VECTORS * LANES), zeros};
        const int usable = scratch.pixels && scratch.products && scratch.sums;
        if (!usable) {
#pragma omp atomic write
            failed = 2;
        }
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < c.strips; first += c.batch)
            if (usable && !failed) run_batch(p, blocks, count, c, layout, first, scratch);
        free(scratch.sums);
        free(scratch.products);
        free(scratch.pixels);
    }
    free(zeros);
    free(blocks);
    return failed;
}

}  // namespace

extern "C" int NAMED(sth_winograd)(const Problem* p) { return p->bf16 ? 4 : winograd(p); }
#else
extern "C" int NAMED(sth_winograd)(const Problem*) { return 5; }
#endif
