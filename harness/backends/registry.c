/* registry.c: the one list of backends, and the proof that a device computed. */
#include <string.h>

#include "../backend.h"
#include "simt.h"

extern const bf_backend bf_backend_cpu, bf_backend_cuda, bf_backend_hip;

const bf_backend *const bf_backends[] = {
    &bf_backend_cpu, &bf_backend_simt_cuda, &bf_backend_simt_hip, &bf_backend_cuda, &bf_backend_hip, NULL,
};

const bf_backend *bf_backend_find(const char *name) {
    for (int i = 0; bf_backends[i]; i++)
        if (!strcmp(bf_backends[i]->name, name)) return bf_backends[i];
    return NULL;
}

/* ---- proof ----
 * 4 blocks of 64 threads, warps of 32. Thread (block, thread) starts from two words of the nonce and its own indices;
 * five rounds take in the value of lane ^ 16, 8, 4, 2, 1, so that one wrong lane spoils its whole warp; the two words
 * of lane 0 of every warp are joined by exclusive or. Written here apart from kernels/<target>/proof, which must agree. */
enum { PROOF_BLOCKS = 4, PROOF_THREADS = 64, PROOF_WARP = 32 };

/* Bijective on 32 bits: the finalizer of MurmurHash3 (A. Appleby, public domain). */
static uint32_t scramble(uint32_t h) {
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

uint64_t bf_proof_expected(uint64_t nonce) {
    uint32_t low = 0, high = 0;
    for (uint32_t warp = 0; warp < PROOF_BLOCKS * PROOF_THREADS / PROOF_WARP; warp++) {
        uint32_t value[PROOF_WARP];
        for (uint32_t lane = 0; lane < PROOF_WARP; lane++)
            value[lane] =
                scramble(scramble((uint32_t)nonce + 0x9e3779b9u * (warp * PROOF_WARP + lane)) ^ (uint32_t)(nonce >> 32));
        for (uint32_t mask = PROOF_WARP / 2; mask; mask /= 2) {
            uint32_t other[PROOF_WARP];
            for (uint32_t lane = 0; lane < PROOF_WARP; lane++) other[lane] = value[lane ^ mask];
            for (uint32_t lane = 0; lane < PROOF_WARP; lane++) value[lane] = scramble(3 * value[lane] + other[lane] + mask);
        }
        low ^= value[0];
        high ^= scramble(value[0] + warp);
    }
    return (uint64_t)high << 32 | low;
}
