// What Python and the kernels tell each other. Plain C: no header of PyTorch, no C++ library.
#pragma once
#include <stdint.h>

// One contiguous range of output channels whose kernels meet the same input channels: in up to two runs
// spatially, in up to one temporally. Every arrangement of STH-Conv, its gradient and the plain 2D convolution
// are lists of these. Offsets are those of the weight at (first output channel, first channel of the run).
struct Group {
    int64_t out_begin, out_end;
    int64_t spatial_begin[2], spatial_end[2], spatial_offset[2];
    int64_t temporal_begin, temporal_end, temporal_offset;
};

struct Problem {
    int64_t images, frames;                  // N*T and T
    int64_t height, width, in_channels;      // of the input, NHWC
    int64_t out_height, out_width, out_channels;
    int64_t kernel_height, kernel_width, kernel_time;   // for winograd.cpp 6 x 6: the transformed kernels
    int64_t stride_height, stride_width, spatial_dilation, temporal_dilation;
    int64_t relu, threads, bf16, group_count;
    const struct Group* groups;
    // Strides of the stored weights in elements, and whether taps are taken backward (gradient of the input).
    int64_t spatial_out_stride, spatial_in_stride, temporal_out_stride, temporal_in_stride, flip;
    const float* spatial_weight;
    const float* temporal_weight;
    const void* x;
    void* packed;
    const float* bias;                       // (C_o), or null
    const float* alpha_s;                    // (N, C_o), or null
    const float* alpha_t;
    void* y;
    const void* grad;                        // of the output, for the gradients of the weights
    float* spatial_grad;                     // as the weights are stored, or null
    float* temporal_grad;
};
