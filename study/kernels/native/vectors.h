// One register of floats, and the two kinds of products: fp32 and, where the CPU has it, bf16 in pairs.
//
// Everything lives in an unnamed namespace and nothing comes from the C++ library: an inline function compiled
// here for AVX-512 could otherwise be the one that the linker keeps for every translation unit.
#pragma once
#include <stdint.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)
#define NAMED(function) CONCAT(function##_, STH_ISA)

namespace {

constexpr int LANES = STH_LANES;
typedef float Vec __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

INLINE Vec load(const float* p) { return *(const Vec*)p; }
INLINE void store(float* p, Vec v) { *(Vec*)p = v; }
INLINE Vec splat(float f) { return Vec{} + f; }

struct F32 {
    typedef float Unit;   // what one step of k consumes of a pixel
    typedef float Out;
    static constexpr int CHANNELS = 1;
    typedef Vec Weights;
    INLINE Weights weights(const Unit* p) { return load(p); }
    INLINE Vec multiply_add(Vec acc, Weights w, Unit x) { return acc + w * x; }
    INLINE void put(Out* p, const float* v, int n) { memcpy(p, v, sizeof(float) * n); }
    INLINE void put(Out* p, Vec v) { store(p, v); }
    INLINE void pack(Unit* to, int, float v) { *to = v; }
};

#ifdef __AVX512BF16__
struct BF16 {
    typedef uint32_t Unit;   // two channels
    typedef uint16_t Out;
    static constexpr int CHANNELS = 2;
    typedef __m512bh Weights;
    INLINE Weights weights(const Unit* p) { return (__m512bh)_mm512_loadu_si512(p); }
    INLINE Vec multiply_add(Vec acc, Weights w, Unit x) {
        return (Vec)_mm512_dpbf16_ps((__m512)acc, w, (__m512bh)_mm512_set1_epi32((int)x));
    }
    INLINE uint16_t round(float f) {   // to nearest, ties to even, as PyTorch rounds
        uint32_t bits;
        memcpy(&bits, &f, 4);
        if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
        return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
    INLINE void put(Out* p, const float* v, int n) {
        for (int i = 0; i < n; i++) p[i] = round(v[i]);
    }
    INLINE void put(Out* p, Vec v) {
        __m256bh half = _mm512_cvtneps_pbh((__m512)v);
        memcpy(p, &half, sizeof(half));
    }
    INLINE void pack(Unit* to, int part, float v) {
        uint16_t bits = round(v);
        memcpy((uint16_t*)to + part, &bits, 2);
    }
};
#endif

}  // namespace
