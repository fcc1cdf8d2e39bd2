// For each image and each spatial tap, the sum of the pixels that the tap meets: (images, taps, channels), fp32.
// Attention's means follow from it; one pass over the image.
#pragma once
#include "problem.h"
#include "vectors.h"
#include <stdlib.h>

namespace {

INLINE float widen(float value) { return value; }
INLINE float widen(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

// Whether the tap `offset` pixels away from the center of some output meets this pixel.
INLINE int meets(int64_t pixel, int64_t offset, int64_t stride, int64_t size) {
    int64_t center = pixel - offset;
    return center >= 0 && center < size && center % stride == 0;
}

template <class E>
void sum_image(const Problem* p, const E* x, float* rows, float* y) {
    const int64_t channels = p->in_channels, across = p->kernel_width, down = p->kernel_height;
    memset(y, 0, sizeof(float) * down * across * channels);
    for (int64_t row = 0; row < p->height; row++) {
        memset(rows, 0, sizeof(float) * across * channels);
        for (int64_t column = 0; column < p->width; column++, x += channels)
            for (int64_t j = 0; j < across; j++) {
                if (!meets(column, (j - across / 2) * p->spatial_dilation, p->stride_width, p->width)) continue;
                float* sum = rows + j * channels;
                for (int64_t c = 0; c < channels; c++) sum[c] += widen(x[c]);
            }
        for (int64_t i = 0; i < down; i++) {
            if (!meets(row, (i - down / 2) * p->spatial_dilation, p->stride_height, p->height)) continue;
            float* sum = y + i * across * channels;
            for (int64_t c = 0; c < across * channels; c++) sum[c] += rows[c];
        }
    }
}

int sums(const Problem* p, float* result) {
    const int64_t channels = p->in_channels, pixels = p->height * p->width;
    const int64_t taps = p->kernel_height * p->kernel_width;
    int failed = 0;
#pragma omp parallel num_threads((int)p->threads)
    {
        float* rows = (float*)malloc(sizeof(float) * p->kernel_width * channels);
        if (!rows) {
#pragma omp atomic write
            failed = 2;
        }
#pragma omp for
        for (int64_t image = 0; image < p->images; image++) {
            if (!rows) continue;
            float* y = result + image * taps * channels;
            if (p->bf16) sum_image(p, (const uint16_t*)p->x + image * pixels * channels, rows, y);
            else sum_image(p, (const float*)p->x + image * pixels * channels, rows, y);
        }
        free(rows);
    }
    return failed;
}

}  // namespace
