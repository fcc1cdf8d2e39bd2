// A tile: R neighboring pixels of one output row times NV registers of output channels, whose sums stay in
// registers over a list of steps.
#pragma once
#include "vectors.h"

namespace {

struct Step {
    int64_t x;        // units from the start of the image of the frame
    int64_t weights;  // units from the start of the block
    int length;       // units
    int low, high;    // pixels of the tile that are padding
    int row;          // rows from the tile to the tap
    int fresh;        // whether it reads other pixels than the step before
};

// A value that the compiler believes to change: it would otherwise keep the address of every pixel of a tile on
// the stack and load it again for every product.
#define FORGET(pointer) __asm__("" : "+r"(pointer))

constexpr int LINE = 16;   // units of a cache line

// sums[r] += x[r] * weights, over `length` units, for the pixels from LOW to R - HIGH. With AHEAD a line from `ahead`
// on is brought near for every unit.
template <class T, int R, int NV, int LOW, int HIGH, bool AHEAD = false>
INLINE void accumulate(Vec (&sums)[R][NV], const typename T::Unit* x, const typename T::Unit* w, int length,
                       int64_t pixel, const typename T::Unit* ahead = 0) {
    // Every fourth pixel has a pointer; the others are reached by indexed addressing.
    const typename T::Unit* base[(R + 3) / 4];
#pragma GCC unroll 8
    for (int q = 0; q < (R + 3) / 4; q++) base[q] = x + 4 * q * pixel;
    int64_t triple = 3 * pixel;
    for (const typename T::Unit* end = w + (int64_t)length * NV * LANES; w != end; w += NV * LANES) {
        typename T::Weights weights[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) weights[v] = T::weights(w + v * LANES);
#pragma GCC unroll 32
        for (int r = LOW; r < R - HIGH; r++) {
            const typename T::Unit* b = base[r / 4];
            typename T::Unit value = r % 4 == 0 ? b[0] : r % 4 == 1 ? b[pixel] : r % 4 == 2 ? b[2 * pixel] : b[triple];
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) sums[r][v] = T::multiply_add(sums[r][v], weights[v], value);
        }
#pragma GCC unroll 8
        for (int q = 0; q < (R + 3) / 4; q++) {
            base[q]++;
            FORGET(base[q]);
        }
        if (AHEAD) {
            __builtin_prefetch(ahead);
            ahead += LINE;
        }
    }
}

// The same for any number of padded pixels, each read from `zeros`.
template <class T, int R, int NV>
INLINE void accumulate_padded(Vec (&sums)[R][NV], const typename T::Unit* x, const typename T::Unit* w,
                              const Step& step, int64_t pixel, const typename T::Unit* zeros) {
    const typename T::Unit* volatile at[R];
    for (int r = 0; r < R; r++) at[r] = r < step.low || r >= R - step.high ? zeros : x + r * pixel;
    for (int k = 0; k < step.length; k++) {
        typename T::Weights weights[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) weights[v] = T::weights(w + v * LANES);
#pragma GCC unroll 32
        for (int r = 0; r < R; r++) {
            typename T::Unit value = at[r][k];
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) sums[r][v] = T::multiply_add(sums[r][v], weights[v], value);
        }
        w += NV * LANES;
    }
}

struct Tile {
    const Step* steps;
    int count;
    int turn;               // before this step the sums so far are multiplied by `turned`; -1: never
    const float* turned;    // by output channel
    int64_t pixel;          // units between neighboring pixels of the tile in the image
    const float* scale;     // of these steps, by output channel, or null
    float* buffer;          // sums of earlier segments, R x vectors x LANES
    int add, last, relu, columns;
    const float* bias;
    int64_t out_pixel;      // elements between pixels of the output
    const void* next;       // where the next tile begins to read
};

// What follows the sums: coefficient, earlier segments, and for the last segment bias, ReLU and the output.
template <class T, int NV>
__attribute__((noinline)) void finish(const Tile& t, int pixels, float* results, typename T::Out* y) {
    const int width = NV * LANES;
    for (int r = 0; r < pixels; r++, results += width) {
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            float* buffer = t.buffer + r * width + v * LANES;
            Vec sum = load(results + v * LANES);
            if (t.scale) sum *= load(t.scale + v * LANES);
            if (t.add) sum += load(buffer);
            if (!t.last) {
                store(buffer, sum);
                continue;
            }
            if (t.bias) sum += load(t.bias + v * LANES);
            if (t.relu) sum = sum < 0 ? Vec{} : sum;   // a NaN stays a NaN
            if (t.columns == width) T::put(y + r * t.out_pixel + v * LANES, sum);
            else store(results + v * LANES, sum);
        }
        if (t.last && t.columns != width) T::put(y + r * t.out_pixel, results, t.columns);
    }
}

template <class T, int R, int NV>
__attribute__((noinline)) void run_tile(const Tile& t, const typename T::Unit* x, const typename T::Unit* w,
                                        const typename T::Unit* zeros, typename T::Out* y) {
    // The output is written long after: by then its lines are there.
    if (t.last)
        for (int r = 0; r < R; r++)
            for (int v = 0; v < NV; v++) __builtin_prefetch(y + r * t.out_pixel + v * LANES, 1);
    Vec sums[R][NV] = {};
    for (int s = 0; s < t.count; s++) {
        const Step& step = t.steps[s];
        if (s == t.turn) {
#pragma GCC unroll 4
            for (int v = 0; v < NV; v++) {
                const Vec by = load(t.turned + v * LANES);
#pragma GCC unroll 32
                for (int r = 0; r < R; r++) sums[r][v] *= by;
            }
        }
        const typename T::Unit *xs = x + step.x, *ws = w + step.weights;
        // A register tile outruns the hardware's prefetching: ask for the pixels of the next step, or next tile.
        const int more = s + 1 < t.count;
        const typename T::Unit* next = more ? x + t.steps[s + 1].x : (const typename T::Unit*)t.next;
        const int length = more ? t.steps[s + 1].length : t.steps[0].length;
        const int fresh = !more || t.steps[s + 1].fresh;
        for (int k = 0; fresh && k < length; k += LINE)
            for (int r = 0; r < R; r++) __builtin_prefetch(next + r * t.pixel + k);
        if (step.low == 0 && step.high == 0)
            accumulate<T, R, NV, 0, 0>(sums, xs, ws, step.length, t.pixel);
        else if (R > 1 && step.low == 1 && step.high == 0)
            accumulate<T, R, NV, R == 1 ? 0 : 1, 0>(sums, xs, ws, step.length, t.pixel);
        else if (R > 1 && step.low == 0 && step.high == 1)
            accumulate<T, R, NV, 0, R == 1 ? 0 : 1>(sums, xs, ws, step.length, t.pixel);
        else
            accumulate_padded<T, R, NV>(sums, xs, ws, step, t.pixel, zeros);
    }
    if (t.columns == NV * LANES) {
        // All in registers: a detour over memory would fill the store queue while the output's lines are fetched.
        Vec scale[NV], bias[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            scale[v] = t.scale ? load(t.scale + v * LANES) : splat(1);
            bias[v] = t.bias ? load(t.bias + v * LANES) : Vec{};
        }
        const float floor = t.relu ? 0.f : -__builtin_inff();
#define EACH(...)                                                    \
    _Pragma("GCC unroll 32") for (int r = 0; r < R; r++)             \
        _Pragma("GCC unroll 4") for (int v = 0; v < NV; v++) {       \
            float* buffer = t.buffer + (r * NV + v) * LANES;         \
            typename T::Out* out = y + r * t.out_pixel + v * LANES;  \
            Vec sum = sums[r][v];                                    \
            (void)buffer, (void)out;                                 \
            __VA_ARGS__                                              \
        }
#define PUT(value) Vec result = (value); T::put(out, result < floor ? splat(floor) : result);
        if (!t.last && t.add) EACH(store(buffer, load(buffer) + sum * scale[v]);)
        else if (!t.last) EACH(store(buffer, sum * scale[v]);)
        else if (t.add) EACH(PUT(load(buffer) + sum * scale[v] + bias[v]))
        else EACH(PUT(sum * scale[v] + bias[v]))
#undef PUT
#undef EACH
        return;
    }
    float results[R * NV * LANES];
#pragma GCC unroll 32
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) store(results + (r * NV + v) * LANES, sums[r][v]);
    finish<T, NV>(t, R, results, y);
}

template <class T>
void dispatch_tile(int pixels, int vectors, const Tile& t, const typename T::Unit* x,
                   const typename T::Unit* w, const typename T::Unit* zeros, typename T::Out* y) {
#define TILE(R, NV) \
    if (pixels == R && vectors == NV) return run_tile<T, R, NV>(t, x, w, zeros, y);
#if STH_LANES == 16
    TILE(28, 1) TILE(14, 2) TILE(7, 4) TILE(14, 1) TILE(7, 1) TILE(7, 2)
    TILE(4, 2) TILE(2, 2) TILE(1, 2) TILE(4, 4) TILE(2, 4) TILE(1, 4)
#else
    TILE(14, 1) TILE(7, 1)
#endif
    TILE(4, 1) TILE(2, 1) TILE(1, 1)
}

INLINE int tile_pixels(int64_t left, [[maybe_unused]] int vectors) {
#if STH_LANES == 16
    if (left >= 28 && vectors == 1) return 28;
    if (left >= 14 && vectors <= 2) return 14;
#else
    if (left >= 14) return 14;
#endif
    return left >= 7 ? 7 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

}  // namespace
