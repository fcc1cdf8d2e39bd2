// Winograd's F(4x4, 3x3), Y = A' [(G g G') * (B' d B)] A of a patch d of 6x6 pixels, a kernel g and 4x4 results Y, as in
// Lavin and Gray (arXiv 1509.09308) but for the points of interpolation: 0, 5/8, -5/8, 3/2, -3/2 and infinity, which
// halve the error of 0, 1, -1, 2, -2 and infinity and whose powers below are floats without rounding. LANES channels
// at once. Kernels are transformed where they are packed, in float64 (winograd.py).
#pragma once
#include "vectors.h"
#include <immintrin.h>

namespace {

constexpr int PATCH = 6, POINTS = PATCH * PATCH, SIDE = 4;
constexpr float NEAR = 0.625f, FAR = 1.5f, NEAR2 = NEAR * NEAR, FAR2 = FAR * FAR;

// The pixels that a tile reads. Rows outside of the image are rows of zeros, columns outside are masked.
struct Patch {
    const float* rows[PATCH];
    int64_t pixel;                 // floats between neighboring pixels
    __mmask16 columns[PATCH];
};

INLINE Vec read(const Patch& d, int row, int column, int64_t channel) {
    return (Vec)_mm512_maskz_loadu_ps(d.columns[column], d.rows[row] + column * d.pixel + channel);
}

// B' of six values, in pairs that share most of their sums.
INLINE Vec at_zero(Vec d0, Vec d2, Vec d4) { return NEAR2 * FAR2 * d0 + (d4 - (NEAR2 + FAR2) * d2); }
INLINE Vec half(Vec low, Vec high, float square) { return high - square * low; }

// One row of B' d times B, to six points that lie `point` floats apart.
INLINE void spread(const Vec (&d)[PATCH], float* to, int64_t point) {
    const Vec a = half(d[2], d[4], FAR2), b = half(d[1], d[3], FAR2);
    const Vec c = half(d[2], d[4], NEAR2), e = half(d[1], d[3], NEAR2);
    store(to, at_zero(d[0], d[2], d[4]));
    store(to + point, a + NEAR * b);
    store(to + 2 * point, a - NEAR * b);
    store(to + 3 * point, c + FAR * e);
    store(to + 4 * point, c - FAR * e);
    store(to + 5 * point, at_zero(d[1], d[3], d[5]));
}

// B' d B of the channels from `channel` on. Pixels are read two or three times rather than kept: a store costs
// two cycles, a load one, and both run beside the arithmetic.
INLINE void transform_patch(const Patch& d, int64_t channel, float* to, int64_t point) {
    Vec low[PATCH], high[PATCH];
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
        const Vec a = half(read(d, 2, j, channel), read(d, 4, j, channel), FAR2);
        const Vec b = half(read(d, 1, j, channel), read(d, 3, j, channel), FAR2);
        low[j] = a + NEAR * b;
        high[j] = a - NEAR * b;
    }
    spread(low, to + 6 * point, point);
    spread(high, to + 12 * point, point);
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
        const Vec a = half(read(d, 2, j, channel), read(d, 4, j, channel), NEAR2);
        const Vec b = half(read(d, 1, j, channel), read(d, 3, j, channel), NEAR2);
        low[j] = a + FAR * b;
        high[j] = a - FAR * b;
    }
    spread(low, to + 18 * point, point);
    spread(high, to + 24 * point, point);
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
        low[j] = at_zero(read(d, 0, j, channel), read(d, 2, j, channel), read(d, 4, j, channel));
        high[j] = at_zero(read(d, 1, j, channel), read(d, 3, j, channel), read(d, 5, j, channel));
    }
    spread(low, to, point);
    spread(high, to + 30 * point, point);
}

// A' of six values.
INLINE void gather(const Vec (&m)[PATCH], Vec (&y)[SIDE]) {
    const Vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = NEAR * b + FAR * d;
    y[2] = NEAR2 * a + FAR2 * c;
    y[3] = m[5] + NEAR2 * NEAR * b + FAR2 * FAR * d;
}

// A' m A times `scale`: of 36 points, `point` floats apart, the 4x4 results; rows lie `row`, pixels `pixel` apart.
INLINE void transform_result(const float* m, int64_t point, Vec scale, float* y, int64_t row, int64_t pixel) {
    Vec rows[SIDE][PATCH];
#pragma GCC unroll 6
    for (int j = 0; j < PATCH; j++) {
        Vec column[PATCH], results[SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < PATCH; i++) column[i] = load(m + (i * PATCH + j) * point);
        gather(column, results);
#pragma GCC unroll 4
        for (int i = 0; i < SIDE; i++) rows[i][j] = results[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i++) {
        Vec results[SIDE];
        gather(rows[i], results);
#pragma GCC unroll 4
        for (int j = 0; j < SIDE; j++) store(y + i * row + j * pixel, results[j] * scale);
    }
}

}  // namespace
