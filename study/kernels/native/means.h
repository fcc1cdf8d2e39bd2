// Means of both parts over the time and space of each clip, without the parts: (clips, 2, C_o), fp32.
//
// A mean of a convolution is linear in the sums of what its taps meet, so it is what the operator makes of one pixel
// that consists of those sums; the weights are the packed ones.
#pragma once
#include "blocks.h"
#include "sums.h"
#include "tile.h"

namespace {

// Of each clip [tap][channel], spatial taps first: the sums of what a tap meets, times `scale`.
template <class T>
void sum_clip(const Problem* p, const float* sums, float scale, typename T::Unit* units) {
    const int64_t channels = p->in_channels, taps = p->kernel_height * p->kernel_width;
    const int64_t center = p->kernel_height / 2 * p->kernel_width + p->kernel_width / 2;
    for (int64_t row = 0; row < taps + p->kernel_time; row++, units += channels / T::CHANNELS) {
        const int64_t time = row < taps ? 0 : (row - taps - p->kernel_time / 2) * p->temporal_dilation;
        const int64_t first = time > 0 ? time : 0, last = time < 0 ? p->frames + time : p->frames;
        const float* of_tap = sums + (row < taps ? row : center) * channels;
        for (int64_t c = 0; c < channels; c++) {
            float total = 0;
            for (int64_t frame = first; frame < last; frame++) total += of_tap[frame * taps * channels + c];
            T::pack(units + c / T::CHANNELS, (int)(c % T::CHANNELS), total * scale);
        }
    }
}

template <class T, int NV>
void apply_block(const Problem* p, const Block& b, const typename T::Unit* units, float* y) {
    const int64_t channels = p->in_channels / T::CHANNELS, width = NV * LANES;
    const Group* g = b.group;
    const typename T::Unit* w = (const typename T::Unit*)((const char*)p->packed + b.weights);
    for (int temporal = 0; temporal < 2; temporal++, y += p->out_channels) {
        const int64_t taps = temporal ? p->kernel_time : p->kernel_height * p->kernel_width;
        Vec sums[1][NV] = {};
        for (int64_t tap = 0; tap < taps; tap++, units += channels)
            for (int run = 0; run < (temporal ? 1 : 2); run++) {
                const int64_t begin = temporal ? g->temporal_begin : g->spatial_begin[run];
                const int64_t length = (temporal ? g->temporal_end - begin : run_length(g, run)) / T::CHANNELS;
                accumulate<T, 1, NV, 0, 0>(sums, units + begin / T::CHANNELS, w, (int)length, 0);
                w += length * width;
            }
        memcpy(y + b.begin, sums, sizeof(float) * b.columns);
    }
}

template <class T>
int means(const Problem* p) {
    const int64_t taps = p->kernel_height * p->kernel_width, clips = p->images / p->frames;
    const int64_t units_of_clip = (taps + p->kernel_time) * p->in_channels / T::CHANNELS;
    const int count = list_blocks(p, 0);
    Block* blocks = (Block*)malloc(sizeof(Block) * count);
    float* tap_sums = (float*)malloc(sizeof(float) * p->images * taps * p->in_channels);
    typename T::Unit* units = (typename T::Unit*)malloc(sizeof(typename T::Unit) * units_of_clip * clips);
    int failed = blocks && tap_sums && units ? 0 : 2;
    if (!failed) {
        list_blocks(p, blocks);
        failed = sums(p, tap_sums);
    }
    if (!failed) {
        const float scale = 1.f / (float)(p->frames * p->out_height * p->out_width);
        for (int64_t clip = 0; clip < clips; clip++)
            sum_clip<T>(p, tap_sums + clip * p->frames * taps * p->in_channels, scale, units + clip * units_of_clip);
#pragma omp parallel for num_threads((int)p->threads) schedule(dynamic)
        for (int i = 0; i < count; i++)
            for (int64_t clip = 0; clip < clips; clip++) {
                const typename T::Unit* of_clip = units + clip * units_of_clip;
                float* y = (float*)p->y + clip * 2 * p->out_channels;
#if STH_LANES == 16
                if (blocks[i].vectors == 4) apply_block<T, 4>(p, blocks[i], of_clip, y);
                if (blocks[i].vectors == 2) apply_block<T, 2>(p, blocks[i], of_clip, y);
#endif
                if (blocks[i].vectors == 1) apply_block<T, 1>(p, blocks[i], of_clip, y);
            }
    }
    free(units);
    free(tap_sums);
    free(blocks);
    return failed;
}

}  // namespace
