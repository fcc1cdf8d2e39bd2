// Blocks of output channels, and their weights in the order in which they are read: for each tap the channels of
// each run, for each channel the block's outputs; bf16 in pairs of channels.
#pragma once
#include "problem.h"
#include "vectors.h"

namespace {

constexpr int64_t HEADER = 64;
constexpr int32_t MAGIC = 0x53544831;

// Widest block, and pixels of a tile by the registers of its block: as many sums as registers hold.
#if STH_LANES == 16
constexpr int VECTORS = 4;
#else
constexpr int VECTORS = 1;
#endif

struct Block {
    const Group* group;
    int64_t begin;       // first output channel
    int columns;         // valid output channels
    int vectors;         // registers they fill
    int64_t weights;     // bytes from the start of the packed weights
    int64_t bytes;
};

INLINE int64_t run_length(const Group* g, int run) { return g->spatial_end[run] - g->spatial_begin[run]; }

INLINE int64_t depth(const Problem* p, const Group* g) {
    return p->kernel_height * p->kernel_width * (run_length(g, 0) + run_length(g, 1)) +
           p->kernel_time * (g->temporal_end - g->temporal_begin);
}

// The next block of a group, from output channel `begin` on.
INLINE Block next_block(const Problem* p, const Group* g, int64_t begin, int64_t offset) {
    int64_t left = g->out_end - begin;
    int vectors = VECTORS;
    while (vectors > 1 && left < (int64_t)vectors * LANES) vectors /= 2;
    int columns = left < vectors * LANES ? (int)left : vectors * LANES;
    int64_t bytes = depth(p, g) * vectors * LANES * (p->bf16 ? 2 : 4);
    return {g, begin, columns, vectors, offset, bytes};
}

INLINE int list_blocks(const Problem* p, Block* blocks) {
    int count = 0;
    int64_t offset = HEADER;
    for (int64_t i = 0; i < p->group_count; i++)
        for (int64_t begin = p->groups[i].out_begin; begin < p->groups[i].out_end; count++) {
            Block b = next_block(p, &p->groups[i], begin, offset);
            if (blocks) blocks[count] = b;
            begin += b.columns;
            offset += b.bytes;
        }
    return count;
}

template <class T>
void pack_run(const Problem* p, const Block& b, const float* source, int64_t out_stride, int64_t in_stride,
              int64_t taps, int64_t length, int64_t tap_units, typename T::Unit* to) {
    int width = b.vectors * LANES;
    for (int64_t c = 0; c < length; c++)
        for (int64_t tap = 0; tap < taps; tap++) {
            const float* from = source + c * in_stride + (p->flip ? taps - 1 - tap : tap);
            typename T::Unit* row = to + tap * tap_units + c / T::CHANNELS * width;
            for (int j = 0; j < b.columns; j++)
                T::pack(row + j, (int)(c % T::CHANNELS), from[(b.begin - b.group->out_begin + j) * out_stride]);
        }
}

template <class T>
void pack_block(const Problem* p, const Block& b) {
    const Group* g = b.group;
    int64_t taps = p->kernel_height * p->kernel_width, width = b.vectors * LANES;
    typename T::Unit* to = (typename T::Unit*)((char*)p->packed + b.weights);
    if (b.columns < width) memset(to, 0, b.bytes);
    int64_t tap_units = (run_length(g, 0) + run_length(g, 1)) / T::CHANNELS * width;
    for (int run = 0, done = 0; run < 2; done += run_length(g, run++))
        pack_run<T>(p, b, p->spatial_weight + g->spatial_offset[run], p->spatial_out_stride,
                    p->spatial_in_stride, taps, run_length(g, run), tap_units,
                    to + done / T::CHANNELS * width);
    int64_t length = g->temporal_end - g->temporal_begin;
    pack_run<T>(p, b, p->temporal_weight + g->temporal_offset, p->temporal_out_stride, p->temporal_in_stride,
                p->kernel_time, length, length / T::CHANNELS * width, to + taps * tap_units);
}

}  // namespace
