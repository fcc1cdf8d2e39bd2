// Gradients of the weights of STH-Conv, fp32, of exactly the kernels that exist:
//
//     dW[o][c][tap] = sum over images and pixels of grad[pixel][o] * x[pixel + tap][c].
//
// A unit is a block of output channels of one group with up to 64 of the input channels that one of its two parts
// meets. Pixels go by in bands: those of both tensors are copied to panels, where they lie side by side (as they are
// stored, whole cache lines apart, few fit in the L1 cache together), and for each tap a tile of sums stays in registers
// over all of the band. What is padding is left out. One thread makes all of a weight's sum in one order, so that the
// number of threads changes nothing; that sums of a band are added to those of others keeps rounding small.
#include "problem.h"
#include "vectors.h"
#include <stdlib.h>

namespace {

constexpr int64_t BAND = 512;           // pixels of the output, about: panels and sums fit in an L2 cache of 1 MiB
constexpr int64_t PIXELS_AHEAD = 8;     // to be asked for while pixels are copied
constexpr int64_t UNIT_CHANNELS = 64;   // a multiple of every tile's channels

#if STH_LANES == 16
constexpr int WIDEST = 2;   // registers of output channels
#else
constexpr int WIDEST = 1;
#endif

// Input channels of a tile: sixteen registers of sums where there are thirty-two, and else eight.
constexpr int tile_channels(int vectors) { return LANES == 16 && vectors == 1 ? 16 : 8; }

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// The input channels that a part of a group meets: one run after the other.
struct Part {
    int64_t begin[2], end[2], offset[2];
    int64_t channels() const { return end[0] - begin[0] + end[1] - begin[1]; }
};

INLINE Part part_of(const Group* g, int temporal) {
    if (temporal) return {{g->temporal_begin, 0}, {g->temporal_end, 0}, {g->temporal_offset, 0}};
    return {{g->spatial_begin[0], g->spatial_begin[1]},
            {g->spatial_end[0], g->spatial_end[1]},
            {g->spatial_offset[0], g->spatial_offset[1]}};
}

struct Unit {
    const Group* group;
    int64_t begin;          // first output channel
    int columns, vectors;   // output channels, and registers that they fill
    int temporal;           // which part
    int64_t first, count;   // input channels, counted within the part
};

int list_units(const Problem* p, Unit* units) {
    int count = 0;
    for (int64_t i = 0; i < p->group_count; i++) {
        const Group* g = &p->groups[i];
        for (int64_t begin = g->out_begin; begin < g->out_end;) {
            int vectors = g->out_end - begin >= WIDEST * LANES ? WIDEST : 1;
            int columns = (int)least(vectors * LANES, g->out_end - begin);
            for (int temporal = 0; temporal < 2; temporal++) {
                if (!(temporal ? p->temporal_grad : p->spatial_grad)) continue;
                int64_t channels = part_of(g, temporal).channels();
                for (int64_t first = 0; first < channels; first += UNIT_CHANNELS, count++)
                    if (units)
                        units[count] = {g, begin, columns, vectors, temporal, first, least(UNIT_CHANNELS, channels - first)};
            }
            begin += columns;
        }
    }
    return count;
}

// Pixels that lie side by side in both panels: where they begin, and how many there are.
struct Stretch {
    int64_t x, grad, length;
};

// Pixels of a tensor, `step` apart.
struct Span {
    int64_t first, count, step;
};

// Some pixels of the output, those of the input that their taps meet, and which of them meet by the tap at hand.
struct Band {
    int64_t image, images;    // spatial part: images and rows of the output
    int64_t row, rows;
    int64_t top, read_rows;   // rows of the input
    int64_t pixels, read_pixels, spans, read_spans;
    Span *at, *read_at;
    Stretch* stretches;
};

// How far a band reaches at most. Spatial part: whole rows of one image, or whole images. Temporal part: some pixels
// of all frames of a clip, for which `rows` counts pixels.
struct Reach {
    int64_t images, rows, read_rows, pixels, read_pixels;
};

Reach reach_of(const Problem* p, int temporal) {
    const int64_t image = p->out_height * p->out_width;
    if (temporal) {
        const int64_t rows = least(image, most(1, BAND / p->frames));
        return {p->frames, rows, rows, p->frames * rows, p->frames * rows};
    }
    const int64_t images = least(p->images, most(1, BAND / image));
    const int64_t rows = images > 1 ? p->out_height : least(p->out_height, most(1, BAND / p->out_width));
    const int64_t around = p->kernel_height / 2 * p->spatial_dilation * 2;
    const int64_t read = least(p->height, (rows - 1) * p->stride_height + 1 + around);
    return {images, rows, read, images * rows * p->out_width, images * read * p->width};
}

void locate_spatial(const Problem* p, Band* b) {
    const int64_t around = p->kernel_height / 2 * p->spatial_dilation;
    b->top = most(0, b->row * p->stride_height - around);
    b->read_rows = least(p->height, (b->row + b->rows - 1) * p->stride_height + around + 1) - b->top;
    b->spans = b->read_spans = b->images;
    b->pixels = b->images * b->rows * p->out_width;
    b->read_pixels = b->images * b->read_rows * p->width;
    for (int64_t i = 0; i < b->images; i++) {
        b->at[i] = {((b->image + i) * p->out_height + b->row) * p->out_width, b->rows * p->out_width, 1};
        b->read_at[i] = {((b->image + i) * p->height + b->top) * p->width, b->read_rows * p->width, 1};
    }
}

void locate_temporal(const Problem* p, Band* b) {
    b->spans = b->images;
    b->pixels = b->read_pixels = b->images * b->rows;
    b->read_spans = 0;
    for (int64_t image = b->image; image < b->image + b->images; image++) {
        b->at[image - b->image] = {image * p->out_height * p->out_width + b->row, b->rows, 1};
        for (int64_t i = b->row, count; i < b->row + b->rows; i += count) {
            const int64_t row = i / p->out_width, column = i % p->out_width;
            count = least(p->out_width - column, b->row + b->rows - i);
            b->read_at[b->read_spans++] = {
                (image * p->height + row * p->stride_height) * p->width + column * p->stride_width, count, p->stride_width};
        }
    }
}

// Of the outputs from `begin` to `end` those whose tap lies inside of the image.
INLINE void meet(int64_t offset, int64_t stride, int64_t size, int64_t begin, int64_t end, int64_t* low, int64_t* high) {
    *low = most(begin, offset < 0 ? (-offset + stride - 1) / stride : 0);
    *high = least(end, offset < size ? (size - offset + stride - 1) / stride : 0);
}

int meet_spatial(const Problem* p, const Band& b, int64_t tap) {
    const int64_t down = (tap / p->kernel_width - p->kernel_height / 2) * p->spatial_dilation;
    const int64_t across = (tap % p->kernel_width - p->kernel_width / 2) * p->spatial_dilation;
    const int64_t step = p->stride_width;
    int64_t top, bottom, left, right;
    int count = 0;
    meet(down, p->stride_height, p->height, b.row, b.row + b.rows, &top, &bottom);
    meet(across, step, p->width, 0, p->out_width, &left, &right);
    if (left >= right) return 0;
    for (int64_t image = 0; image < b.images; image++)
        for (int64_t row = top; row < bottom; row++) {
            const int64_t in_row = image * b.read_rows + row * p->stride_height + down - b.top;
            const int64_t out_row = image * b.rows + row - b.row;
            const Stretch s = {in_row * p->width + left * step + across, out_row * p->out_width + left, right - left};
            // Whole rows that follow each other in both panels are one stretch.
            Stretch* last = b.stretches + count - 1;
            if (count && last->x + last->length * step == s.x && last->grad + last->length == s.grad)
                last->length += s.length;
            else b.stretches[count++] = s;
        }
    return count;
}

int meet_temporal(const Problem* p, const Band& b, int64_t tap) {
    const int64_t time = (tap - p->kernel_time / 2) * p->temporal_dilation;
    const int64_t length = (p->frames - (time < 0 ? -time : time)) * b.rows;
    if (length <= 0) return 0;
    b.stretches[0] = {most(0, time) * b.rows, most(0, -time) * b.rows, length};
    return 1;
}

// `count` channels of a part from `first` on, of each of the pixels, as [tile][pixel][WIDTH]; zeros where a tile has more.
template <int WIDTH>
void copy_panel(const float* from, int64_t channels, const Span* spans, int64_t span_count, int64_t pixels, const Part& part,
                int64_t first, int64_t count, float* to) {
    const int64_t head = part.end[0] - part.begin[0];   // channels of the first run
    for (int64_t c = 0; c < count; c += WIDTH, to += pixels * WIDTH) {
        const int64_t begin = first + c, end = first + least(c + WIDTH, count);
        const int64_t cut = most(begin, least(end, head));   // between the runs
        const int64_t one = part.begin[0] + begin, other = part.begin[1] + cut - head;
        float* place = to;
        for (const Span* s = spans; s != spans + span_count; s++) {
            const float* pixel = from + s->first * channels;
            const int64_t step = s->step * channels;
            if (end - begin == WIDTH && (cut == begin || cut == end)) {
                pixel += cut == begin ? other : one;
                for (int64_t i = 0; i < s->count; i++, pixel += step, place += WIDTH) {
                    __builtin_prefetch(pixel + PIXELS_AHEAD * step);
                    memcpy(place, pixel, sizeof(float) * WIDTH);
                }
                continue;
            }
            for (int64_t i = 0; i < s->count; i++, pixel += step, place += WIDTH) {
                memcpy(place, pixel + one, sizeof(float) * (cut - begin));
                memcpy(place + (cut - begin), pixel + other, sizeof(float) * (end - cut));
                memset(place + (end - begin), 0, sizeof(float) * (WIDTH - (end - begin)));
            }
        }
    }
}

// total[r][v] += x[r] * grad[v], summed over the stretches.
template <int R, int NV>
__attribute__((noinline)) void multiply(const float* x, int64_t step, const float* grad, const Stretch* stretches,
                                        int count, float* total) {
    Vec sums[R][NV] = {};
    for (const Stretch* s = stretches; s != stretches + count; s++) {
        const float *from = x + s->x * R, *outputs = grad + s->grad * NV * LANES;
        for (const float* end = outputs + s->length * NV * LANES; outputs != end; outputs += NV * LANES, from += step) {
            Vec of[NV];
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) of[v] = load(outputs + v * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++)
#pragma GCC unroll 2
                for (int v = 0; v < NV; v++) sums[r][v] += of[v] * from[r];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++, total += LANES) store(total, load(total) + sums[r][v]);
}

struct Scratch {
    float *x, *grad, *sums;
    Band band;
};

template <int NV>
void add_band(const Problem* p, const Unit& u, const Part& part, int64_t taps, const Scratch& scratch) {
    constexpr int R = tile_channels(NV), WIDTH = NV * LANES;
    const Band& b = scratch.band;
    const Part outputs = {{u.begin, 0}, {u.begin + u.columns, 0}, {0, 0}};
    copy_panel<WIDTH>((const float*)p->grad, p->out_channels, b.at, b.spans, b.pixels, outputs, 0, u.columns,
                      scratch.grad);
    copy_panel<R>((const float*)p->x, p->in_channels, b.read_at, b.read_spans, b.read_pixels, part, u.first,
                  u.count, scratch.x);
    for (int64_t tap = 0; tap < taps; tap++) {
        const int count = u.temporal ? meet_temporal(p, b, tap) : meet_spatial(p, b, tap);
        for (int64_t c = 0; c < u.count; c += R)
            multiply<R, NV>(scratch.x + c * b.read_pixels, R * (u.temporal ? 1 : p->stride_width), scratch.grad,
                            b.stretches, count, scratch.sums + (c * taps + tap * R) * WIDTH);
    }
}

// From [tile][tap][channel][output] to where the weights are stored.
void put_weights(const Problem* p, const Unit& u, const Part& part, int64_t taps, int channels, const float* sums) {
    const int64_t width = u.vectors * LANES, head = part.end[0] - part.begin[0];
    const int64_t out_stride = u.temporal ? p->temporal_out_stride : p->spatial_out_stride;
    const int64_t in_stride = u.temporal ? p->temporal_in_stride : p->spatial_in_stride;
    float* weights = (u.temporal ? p->temporal_grad : p->spatial_grad) + (u.begin - u.group->out_begin) * out_stride;
    for (int64_t c = 0; c < u.count; c++) {
        const int64_t channel = u.first + c, run = channel >= head;
        float* to = weights + part.offset[run] + (channel - (run ? head : 0)) * in_stride;
        const float* from = sums + (c / channels * taps * channels + c % channels) * width;
        for (int64_t tap = 0; tap < taps; tap++)
            for (int o = 0; o < u.columns; o++) to[o * out_stride + tap] = from[tap * channels * width + o];
    }
}

void run_unit(const Problem* p, const Unit& u, Scratch* scratch) {
    const Part part = part_of(u.group, u.temporal);
    const int channels = tile_channels(u.vectors);
    const int64_t taps = u.temporal ? p->kernel_time : p->kernel_height * p->kernel_width;
    const int64_t lines = u.temporal ? p->out_height * p->out_width : p->out_height;
    const Reach reach = reach_of(p, u.temporal);
    const int64_t tiles = (u.count + channels - 1) / channels;
    memset(scratch->sums, 0, sizeof(float) * tiles * channels * taps * u.vectors * LANES);
    Band& b = scratch->band;
    for (b.image = 0; b.image < p->images; b.image += b.images) {
        b.images = least(reach.images, p->images - b.image);
        for (b.row = 0; b.row < lines; b.row += b.rows) {
            b.rows = least(reach.rows, lines - b.row);
            u.temporal ? locate_temporal(p, &b) : locate_spatial(p, &b);
#if STH_LANES == 16
            if (u.vectors == 2) {
                add_band<2>(p, u, part, taps, *scratch);
                continue;
            }
#endif
            add_band<1>(p, u, part, taps, *scratch);
        }
    }
    put_weights(p, u, part, taps, channels, scratch->sums);
}

template <class T>
INLINE T* allocate(int64_t count) {
    void* memory = 0;   // whole cache lines
    return posix_memalign(&memory, 64, sizeof(T) * count) ? 0 : (T*)memory;
}

}  // namespace

extern "C" int NAMED(sth_weights)(const Problem* p) {
    if (p->bf16) return 4;
    const int count = list_units(p, 0);
    Unit* units = allocate<Unit>(count);
    if (!units) return 2;
    list_units(p, units);
    const Reach spatial = reach_of(p, 0), temporal = reach_of(p, 1);
    const int64_t pixels = most(spatial.pixels, temporal.pixels);
    const int64_t read = most(spatial.read_pixels, temporal.read_pixels);
    const int64_t taps = most(p->kernel_height * p->kernel_width, p->kernel_time);
    int failed = 0;
#pragma omp parallel num_threads((int)p->threads)
    {
        Scratch scratch = {};
        scratch.x = allocate<float>(read * UNIT_CHANNELS);
        scratch.grad = allocate<float>(pixels * WIDEST * LANES);
        scratch.sums = allocate<float>(UNIT_CHANNELS * taps * WIDEST * LANES);
        scratch.band.at = allocate<Span>(most(spatial.images, p->frames));
        scratch.band.read_at = allocate<Span>(most(spatial.images, p->frames * (temporal.rows / p->out_width + 2)));
        scratch.band.stretches = allocate<Stretch>(spatial.images * spatial.rows);
        const int usable = scratch.x && scratch.grad && scratch.sums && scratch.band.at && scratch.band.read_at &&
                           scratch.band.stretches;
        if (!usable) {
#pragma omp atomic write
            failed = 2;
        }
#pragma omp for schedule(dynamic)
        for (int unit = 0; unit < count; unit++)
            if (usable) run_unit(p, units[unit], &scratch);
        free(scratch.band.stretches);
        free(scratch.band.read_at);
        free(scratch.band.at);
        free(scratch.sums);
        free(scratch.grad);
        free(scratch.x);
    }
    free(units);
    return failed;
}
