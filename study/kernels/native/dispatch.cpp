// Chooses among the translation units by what the CPU has. Compiled for the baseline.
#include "problem.h"
#include <string.h>

#define EXPORT extern "C" __attribute__((visibility("default")))
#define DECLARE(isa)                                         \
    extern "C" int64_t sth_packed_bytes_##isa(const Problem*); \
    extern "C" int sth_pack_##isa(const Problem*);             \
    extern "C" int sth_forward_##isa(const Problem*);          \
    extern "C" int sth_means_##isa(const Problem*);            \
    extern "C" int sth_winograd_##isa(const Problem*);         \
    extern "C" int sth_weights_##isa(const Problem*);
DECLARE(baseline)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
DECLARE(avx512_bf16)
#endif

namespace {
struct Kernels {
    const char* name;
    int lanes, bf16;
    int64_t (*packed_bytes)(const Problem*);
    int (*pack)(const Problem*);
    int (*forward)(const Problem*);
    int (*means)(const Problem*);
    int (*winograd)(const Problem*);
    int (*weights)(const Problem*);
};
#define KERNELS(isa, lanes, bf16) {#isa, lanes, bf16, sth_packed_bytes_##isa, sth_pack_##isa, sth_forward_##isa, \
                                   sth_means_##isa, sth_winograd_##isa, sth_weights_##isa}

const Kernels table[] = {
    KERNELS(baseline, 4, 0),
#if defined(__x86_64__)
    KERNELS(avx2, 8, 0),
    KERNELS(avx512, 16, 0),
    KERNELS(avx512_bf16, 16, 1),
#endif
};

int supported(const char* name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512cd");
    if (!strcmp(name, "avx512")) return avx512;
    if (!strcmp(name, "avx512_bf16"))
        return avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
#endif
    return !strcmp(name, "baseline");
}

const Kernels* chosen = 0;
}  // namespace

// Take the named kernels, or with an empty name the best that this CPU runs. The name taken, or null.
EXPORT const char* sth_select(const char* name) {
    for (int i = (int)(sizeof(table) / sizeof(table[0])) - 1; i >= 0; i--)
        if ((!*name || !strcmp(name, table[i].name)) && supported(table[i].name)) {
            chosen = &table[i];
            return chosen->name;
        }
    return 0;
}
EXPORT int sth_lanes() { return chosen ? chosen->lanes : 0; }
EXPORT int sth_has_bf16() { return chosen ? chosen->bf16 : 0; }
EXPORT int64_t sth_packed_bytes(const Problem* p) { return chosen->packed_bytes(p); }
EXPORT int sth_pack(const Problem* p) { return chosen->pack(p); }
EXPORT int sth_forward(const Problem* p) { return chosen->forward(p); }
EXPORT int sth_means(const Problem* p) { return chosen->means(p); }
EXPORT int sth_winograd(const Problem* p) { return chosen->winograd(p); }
EXPORT int sth_weights(const Problem* p) { return chosen->weights(p); }
