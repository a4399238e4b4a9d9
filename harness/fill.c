/* fill.c: see fill.h. */
#include "fill.h"

#include <Random123/philox.h>
#include <string.h>

#include "../reference/number.h"
#include "op.h"

static const char *const names[BF_FILLS] = {
    [BF_FILL_GAUSS] = "gauss",       [BF_FILL_OUTLIER] = "outlier",
    [BF_FILL_HEAVY] = "heavy",       [BF_FILL_UNIFORM] = "uniform",
    [BF_FILL_INTEGER] = "integer",   [BF_FILL_EDGE] = "edge",
    [BF_FILL_CONSTANT] = "constant", [BF_FILL_FINITE_EDGE] = "finite-edge",
    [BF_FILL_ONEHOT] = "onehot",     [BF_FILL_SPARSE] = "sparse",
    [BF_FILL_SWAMP] = "swamp",       [BF_FILL_BITS] = "bits",
    [BF_FILL_TIES] = "ties",         [BF_FILL_ALL16] = "all16",
    [BF_FILL_ZEROS] = "zeros",
};

const char *bf_fill_name(bf_fill f) { return (unsigned)f < BF_FILLS ? names[f] : "?"; }

int bf_fill_random(bf_fill f) {
    return f == BF_FILL_GAUSS || f == BF_FILL_OUTLIER || f == BF_FILL_HEAVY || f == BF_FILL_UNIFORM ||
           f == BF_FILL_SPARSE;
}

int bf_fill_parse(const char *name) {
    for (int i = 0; name && i < BF_FILLS; i++)
        if (!strcmp(name, names[i])) return i;
    return -1;
}

int bf_fill_known(const char *name) { return bf_fill_parse(name) >= 0; }

/* ---- generator ---- */

void bf_random4(uint64_t seed, uint32_t stream, uint64_t counter, uint32_t r[4]) {
    philox4x32_ctr_t c = {{(uint32_t)counter, (uint32_t)(counter >> 32), stream, 0x626c6b66u}};
    philox4x32_key_t k = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    c = philox4x32(c, k);
    memcpy(r, c.v, 16);
}

/* Ones of three words, by a carry-save adder and sums of fields: without -mpopcnt the builtin is a table in a library. */
static int ones_of(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t one = a ^ b ^ c, two = (a & b) | (c & (a ^ b));
    one -= one >> 1 & 0x55555555u, two -= two >> 1 & 0x55555555u;
    one = (one & 0x33333333u) + (one >> 2 & 0x33333333u), two = (two & 0x33333333u) + (two >> 2 & 0x33333333u);
    one += 2 * two; /* at most 12 in four bits */
    return (int)(((one & 0x0f0f0f0fu) + (one >> 4 & 0x0f0f0f0fu)) * 0x01010101u >> 24);
}

double bf_random_gauss(const uint32_t r[4]) {
    double x = (double)(ones_of(r[0], r[1], r[2]) - 48) + (double)(r[3] >> 8) * 0x1p-24 - (0.5 - 0x1p-25);
    return x * 0.20376795425620208; /* 1 / sqrt(24 + 1/12) */
}

/* ---- values ---- */

/* Bits of fp32. The 16-bit types are halfway or at the limit where the comment says so. */
/* clang-format off */
static const uint32_t finite_edges[] = {
    0x00000000, 0x80000000,                         /* signed zeros */
    0x00000001, 0x80000001, 0x00000002,             /* smallest fp32 subnormals */
    0x00008000, 0x00007fff, 0x00008001, 0x00018000, /* bf16: half the smallest subnormal, neighbours; tie to 2 */
    0x00010000, 0x007fffff, 0x007f8000, 0x007f7fff, /* bf16's smallest; largest fp32 subnormal; tie to 2^-126 */
    0x00800000, 0x80800000, 0x00800001,             /* smallest normal */
    0x33000000, 0x33000001, 0x32ffffff, 0xb3000001, /* fp16: 2^-25, tie to zero, and its neighbours */
    0x33800000, 0x33c00000, 0x387fc000, 0x387fe000, /* fp16: 2^-24; tie to 2^-23; largest subnormal; tie to 2^-14 */
    0x387fdfff, 0x38800000, 0xb8800000,             /* fp16: just below that tie; smallest normal */
    0x3f800000, 0xbf800000, 0x3f800001, 0x3f7fffff, /* one and its neighbours */
    0x3f801000, 0x3f803000, 0x3f800fff, 0x3f801001, /* 1 + 2^-11: fp16 tie down, tie up, neighbours */
    0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, /* 1 + 2^-8: bf16 tie down, tie up, neighbours */
    0x40000000, 0x40400000, 0x40490fdb, 0x3dcccccd, /* 2, 3, pi, 0.1 */
    0x45000000, 0x45001000, 0x4b800000, 0x4b800001, /* 2048, 2049 (fp16 tie); 2^24 */
    0x477fe000, 0xc77fe000, 0x477fefff, 0x477ff000, /* 65504; just below 65520; 65520: tie, overflow in fp16 */
    0xc77ff000, 0x477fffff, 0x47800000, 0x47435000, /* 65535.99, 65536, 50000 */
    0x5f000000, 0xdf000000,                         /* 2^63: the last moderate one */
    0x7e800000, 0x7f000000,                         /* 2^126, 2^127 */
    0x7f7f0000, 0xff7f0000, 0x7f7f7fff, 0x7f7f8000, /* bf16 max; below and at its overflow tie */
    0x7f7fffff, 0xff7fffff,                         /* FLT_MAX */
};
/* clang-format on */
enum { BEYOND_MODERATE = 8 /* entries from 2^126 on */ };
static const uint32_t infinite_edges[] = {
    0x7f800000, 0xff800000,             /* infinities */
    0x7fc00000, 0xffc00000, 0x7fc00001, /* quiet NaNs */
    0x7f800001, 0xff800001, 0x7fa00000, /* signalling NaNs; the first two have payload in the low bits only */
    0x7f80ffff, 0x7f801fff, 0x7fffffff, /* payload only below bf16's, only below fp16's; all ones */
    0x7f802000, 0x7fbfffff, 0xffffffff,
};
enum {
    FINITE = sizeof finite_edges / sizeof *finite_edges,
    INFINITE = sizeof infinite_edges / sizeof *infinite_edges,
    MODERATE = FINITE - BEYOND_MODERATE
};

static const double constants[] = {1, -1, 0.1, 2047, -3, 1e-3, 60000, -0.02};

static double power2(int e) { /* exact for -1022..1023 */
    uint64_t u = (uint64_t)(e + 1023) << 52;
    double d;
    memcpy(&d, &u, 8);
    return d;
}

int bf_fill_integer_exponent(uint64_t seed, uint32_t stream, int64_t row) {
    uint32_t r[4];
    bf_random4(seed, stream + 0x10000u, (uint64_t)row, r);
    return (int)(r[0] % 9) - 4;
}

static double integer_value(uint64_t seed, uint32_t stream, int64_t row, int64_t column, const uint32_t r[4]) {
    uint32_t at[4];
    bf_random4(seed, stream + 0x20000u, (uint64_t)row << 32 | (uint64_t)(column / 32), at);
    double unit = power2(bf_fill_integer_exponent(seed, stream, row));
    if ((uint64_t)(column % 32) == at[0] % 32) return at[1] & 1 ? 127 * unit : -127 * unit;
    return (double)((int)(r[0] % 3) - 1) * unit;
}

/* Four places of a row, not necessarily distinct. */
static int sparse_place(uint64_t seed, uint32_t stream, int64_t row, int64_t columns, int64_t column) {
    uint32_t r[4];
    bf_random4(seed, stream + 0x30000u, (uint64_t)row, r);
    for (int i = 0; i < 4; i++)
        if ((int64_t)(r[i] % (uint64_t)columns) == column) return 1;
    return 0;
}

/* clang-format off */
static double value(bf_fill f, uint64_t seed, uint32_t stream, int64_t row, int64_t columns, int64_t column,
                    const uint32_t r[4], const uint32_t more[4]) {
    switch (f) {
    case BF_FILL_OUTLIER: return bf_random_gauss(r) * (more[0] % 100 ? 1 : 50);
    case BF_FILL_HEAVY: return bf_random_gauss(r) * power2((int)(more[0] % 17) - 8);
    case BF_FILL_UNIFORM: return (double)(r[0] >> 8) * 0x1p-23 - 1;
    case BF_FILL_INTEGER: return integer_value(seed, stream, row, column, r);
    case BF_FILL_CONSTANT: return constants[(seed + (uint64_t)row) % (sizeof constants / sizeof *constants)];
    case BF_FILL_ONEHOT: {
        uint32_t at[4];
        bf_random4(seed, stream + 0x40000u, (uint64_t)row, at);
        return (int64_t)(at[0] % (uint64_t)columns) == column;
    }
    case BF_FILL_SPARSE: return sparse_place(seed, stream, row, columns, column) ? bf_random_gauss(r) : 0;
    case BF_FILL_SWAMP: return column ? 1 : 4096;
    case BF_FILL_ZEROS: return r[0] & 1 ? -0.0 : 0.0;
    default: return bf_random_gauss(r);
    }
}
/* clang-format on */

/* Fills that are bit patterns in the type itself. */
static uint32_t pattern(bf_fill f, uint64_t seed, bf_dtype type, int64_t rows, int64_t row, int64_t i,
                        const uint32_t r[4]) {
    int wide = type == BF_F32;
    uint32_t f32;
    switch (f) {
    case BF_FILL_ALL16:
        return wide ? (uint32_t)(i & 0xffff) << 16 | (r[0] & (r[1] & 1 ? 0xffffu : 0u)) : i & 0xffff;
    case BF_FILL_TIES: /* fp32: low 16 bits 0x8000: tie of bf16; low 13 bits 0x1000, fp16's range: tie of fp16 */
        if (!wide) return r[0] & 0xffff;
        if (r[1] & 1) return (r[0] & 0xffff0000u) | 0x8000u;
        return (r[0] & 0x80000000u) | (113u + r[2] % 29u) << 23 | (r[0] & 0x7fe000u) | 0x1000u;
    case BF_FILL_BITS:
        return wide ? r[0] : r[0] & 0xffff;
    default:
        break;
    }
    /* Edges: walk the table from a place that the seed picks, so that short cases see all of it over the seeds. */
    uint64_t kind = ((uint64_t)row + seed) % 4, n = FINITE;
    if (!rows && f == BF_FILL_EDGE) n = FINITE + INFINITE;
    if (rows && kind != 3) n = MODERATE;
    uint64_t at = ((uint64_t)i + seed * 7 + (uint64_t)row * 11) % n;
    if (rows && kind == 1 && f == BF_FILL_EDGE && r[3] % 128 == 0)
        f32 = infinite_edges[r[2] % INFINITE];
    else
        f32 = at < FINITE ? finite_edges[at] : infinite_edges[at - FINITE];
    if (wide) return f32;
    if ((f32 & 0x7fffffff) > 0x7f800000) /* a NaN of the narrow type, payload bits as they fall */
        return (f32 >> 16 & 0x8000) | (type == BF_F16 ? 0x7c00 : 0x7f80) | (f32 & 0x3f) |
               (f32 >> 22 & 1) << (type == BF_F16 ? 9 : 6) | (f32 & 0x40003f ? 0 : 1);
    uint32_t narrow = bf_ref_encode(type, bf_ref_decode(BF_F32, f32));
    int infinite = (f32 & 0x7fffffff) == 0x7f800000;
    if (!infinite && !(bf_ref_decode(type, narrow) - bf_ref_decode(type, narrow) == 0))
        narrow--; /* limit stays finite */
    return narrow;
}

static int is_pattern(bf_fill f) {
    return f == BF_FILL_BITS || f == BF_FILL_TIES || f == BF_FILL_ALL16 || f == BF_FILL_EDGE ||
           f == BF_FILL_FINITE_EDGE;
}

/* bf_ref_encode, quickly where the result is a normal number: ties to even by an addition in the 52-bit fraction. A fill of the
 * timed cases has 10^8 values. */
static uint32_t encode(bf_dtype type, bf_ref_format f, double v) {
    uint64_t u;
    memcpy(&u, &v, 8);
    int drop = 52 - f.fraction, e = (int)(u >> 52 & 0x7ff) - 1023;
    if (e < f.emin || e >= f.emax) return bf_ref_encode(type, v);
    uint64_t rounded = (u & ~(UINT64_C(1) << 63)) + (UINT64_C(1) << (drop - 1)) - 1 + (u >> drop & 1);
    uint32_t magnitude = (uint32_t)((rounded >> drop) - ((uint64_t)(1023 - 1 + f.emin) << f.fraction));
    return (uint32_t)(u >> 63) << (f.bits - 1) | magnitude;
}

void bf_fill_values(bf_fill f, uint64_t seed, uint32_t stream, bf_dtype type, int64_t rows, int64_t columns, int pow2,
                    void *out) {
    double scale = power2(pow2 < -1000 ? -1000 : pow2 > 1000 ? 1000 : pow2);
    int64_t count = rows ? rows : 1;
    bf_ref_format format = bf_ref_format_of(type);
    int two = f == BF_FILL_OUTLIER || f == BF_FILL_HEAVY;
    for (int64_t row = 0; row < count; row++)
        for (int64_t column = 0; column < columns; column++) {
            int64_t i = row * columns + column;
            uint32_t r[4], more[4] = {0}, bits;
            bf_random4(seed, stream, (uint64_t)i, r);
            if (two) bf_random4(seed, stream + 0x50000u, (uint64_t)i, more);
            if (is_pattern(f))
                bits = pattern(f, seed, type, rows, row, column, r);
            else
                bits = encode(type, format, value(f, seed, stream, row, columns, column, r, more) * scale);
            if (type == BF_F32)
                memcpy((char *)out + 4 * i, &bits, 4);
            else
                memcpy((char *)out + 2 * i, &bits, 2); /* little-endian hosts only, as is GGUF */
        }
}

/* ---- Q4_K ---- */

static void put16(unsigned char *p, uint32_t v) { p[0] = (unsigned char)v, p[1] = (unsigned char)(v >> 8); }

/* Packs eight 6-bit scales and minima as the format's drawing has them. */
static void pack_scales(unsigned char s[12], const uint32_t sc[8], const uint32_t mn[8]) {
    for (int j = 0; j < 4; j++) {
        s[j] = (unsigned char)(sc[j] | (sc[j + 4] >> 4) << 6);
        s[j + 4] = (unsigned char)(mn[j] | (mn[j + 4] >> 4) << 6);
        s[j + 8] = (unsigned char)((sc[j + 4] & 15) | (mn[j + 4] & 15) << 4);
    }
}

/* fp16 bits: subnormal d, largest finite, negative, zero, tiny normal, plain. */
static const uint16_t finite_d[] = {0x0001, 0x03ff, 0x7bff, 0xfbff, 0x8001, 0x0000, 0x8000, 0x0400, 0x3c01, 0xbc00};
static const uint16_t infinite_d[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};

typedef struct block_rng {
    uint32_t r[4], s[4];
} block_rng;

static void scales_of(bf_fill f, const block_rng *b, uint32_t sc[8], uint32_t mn[8]) {
    static const uint32_t extreme[4] = {0, 1, 62, 63};
    for (int j = 0; j < 8; j++) {
        uint32_t x = b->r[j / 2] >> 16 * (j & 1), y = b->s[j / 2] >> 16 * (j & 1);
        sc[j] = 24 + x % 40, mn[j] = sc[j] - 4 + y % 8;
        if (mn[j] > 63) mn[j] = 63;
        if (f == BF_FILL_INTEGER) sc[j] = x % 8, mn[j] = y % 16;
        if (f == BF_FILL_EDGE || f == BF_FILL_FINITE_EDGE) sc[j] = extreme[x % 4], mn[j] = extreme[y % 4];
        if (f == BF_FILL_SWAMP) sc[j] = 32, mn[j] = 0;
        if (f == BF_FILL_CONSTANT) sc[j] = 40, mn[j] = 7;
    }
}

/* d and dmin as fp16 bits. `size`: d of weights of deviation 0.025 (Q4_K: with scales near 44 and nibbles uniform). */
static void header_of(bf_fill f, double size, uint64_t seed, uint32_t stream, int64_t row, const uint32_t r[4], uint32_t *d,
                      uint32_t *dmin) {
    double base = size * (0.5 + (double)(r[0] >> 8) * 0x1p-24), factor = 1;
    double lean = 7.5 * (0.95 + (double)(r[1] >> 8) * 0.1 * 0x1p-24);
    if (f == BF_FILL_OUTLIER && (row + 1) % 8 == 0) factor = 50;
    if (f == BF_FILL_HEAVY) factor = power2((int)(r[2] % 17) - 8);
    if (f == BF_FILL_SWAMP) lean = 0;
    *d = bf_ref_encode(BF_F16, base * factor), *dmin = bf_ref_encode(BF_F16, base * factor * lean);
    if (f == BF_FILL_ZEROS) *d = r[0] & 1 ? 0x8000 : 0, *dmin = 0;
    if (f == BF_FILL_INTEGER) *d = *dmin = bf_ref_encode(BF_F16, power2(bf_fill_integer_exponent(seed, stream, row)));
    if (f != BF_FILL_EDGE && f != BF_FILL_FINITE_EDGE) return;
    *d = finite_d[r[0] % (sizeof finite_d / sizeof *finite_d)];
    *dmin = finite_d[r[1] % (sizeof finite_d / sizeof *finite_d)];
    if (f == BF_FILL_EDGE && ((uint64_t)row + seed) % 4 == 1 && r[2] % 2) {
        uint32_t bad = infinite_d[r[3] % (sizeof infinite_d / sizeof *infinite_d)];
        if (r[2] & 2)
            *d = bad;
        else
            *dmin = bad;
    }
}

static void fill_block(bf_fill f, uint64_t seed, uint32_t stream, int64_t row, uint64_t index, unsigned char *out) {
    uint32_t w[36], d, dmin, sc[8], mn[8];
    for (uint32_t i = 0; i < 9; i++) bf_random4(seed, stream, index * 16 + i, w + 4 * i);
    memcpy(out, w, 144);
    if (f == BF_FILL_BITS || f == BF_FILL_ALL16 || f == BF_FILL_TIES) return;
    block_rng b;
    uint32_t h[4];
    bf_random4(seed, stream, index * 16 + 9, h);
    bf_random4(seed, stream, index * 16 + 10, b.r);
    bf_random4(seed, stream, index * 16 + 11, b.s);
    header_of(f, 1.2e-4, seed, stream, row, h, &d, &dmin);
    scales_of(f, &b, sc, mn);
    put16(out, d), put16(out + 2, dmin);
    pack_scales(out + 4, sc, mn);
    if (f == BF_FILL_CONSTANT) memset(out + 16, 0x99, 128);
    if (f == BF_FILL_SWAMP) memset(out + 16, 0x88, 128);
}

void bf_fill_q4_k(bf_fill f, uint64_t seed, uint32_t stream, int64_t rows, int64_t blocks, void *out) {
    unsigned char *p = out;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t b = 0; b < blocks; b++)
            fill_block(f, seed, stream, row, (uint64_t)(row * blocks + b), p + 144 * (row * blocks + b));
}

/* ---- Q6_K, Q8_0, MXFP4 ---- */

/* Sixteen signed scales from sixteen random bytes. */
static void signed_scales(bf_fill f, unsigned char *s) {
    static const unsigned char extreme[4] = {0, 1, 127, 128};
    for (int i = 0; i < 16; i++) {
        int sign = s[i] & 128 ? -1 : 1, v = sign * (24 + s[i] % 40);
        if (f == BF_FILL_INTEGER) v = sign * (s[i] % 4);
        if (f == BF_FILL_EDGE || f == BF_FILL_FINITE_EDGE) v = extreme[s[i] % 4];
        if (f == BF_FILL_SWAMP) v = 32;
        if (f == BF_FILL_CONSTANT) v = 40;
        s[i] = (unsigned char)v;
    }
}

/* The header_of of MXFP4: the scale 2^(e - 127) that gives weights of deviation near 0.025, whose codes have one of 2.9. */
static int mxfp4_exponent(bf_fill f, uint64_t seed, uint32_t stream, int64_t row, const uint32_t r[4]) {
    /* Half and whole scale subnormal in fp32, least normal; weights subnormal and largest in fp16; 1; last with finite weights. */
    static const unsigned char finite[] = {0, 1, 2, 104, 113, 127, 141, 142, 200, 252}, beyond[] = {253, 254, 255, 255};
    int e = 119 + (int)(r[0] % 3);
    if (f == BF_FILL_OUTLIER && (row + 1) % 8 == 0) e += 6;
    if (f == BF_FILL_HEAVY) e += (int)(r[2] % 17) - 8;
    if (f == BF_FILL_INTEGER) e = 128 + bf_fill_integer_exponent(seed, stream, row);
    if (f == BF_FILL_EDGE || f == BF_FILL_FINITE_EDGE) e = finite[r[1] % sizeof finite];
    if (f == BF_FILL_EDGE && ((uint64_t)row + seed) % 4 == 1 && r[2] % 2) e = beyond[r[3] % sizeof beyond];
    return e;
}

static void fill_mxfp4(bf_fill f, uint64_t seed, uint32_t stream, int64_t row, const uint32_t r[4], unsigned char *out) {
    out[0] = (unsigned char)mxfp4_exponent(f, seed, stream, row, r);
    if (f == BF_FILL_CONSTANT || f == BF_FILL_SWAMP) memset(out + 1, f == BF_FILL_SWAMP ? 0x44 : 0x55, 16); /* 2 or 3 */
    for (int i = 1; f == BF_FILL_ZEROS && i < 17; i++) out[i] &= 0x88;
}

static void fill_qblock(bf_fill f, bf_dtype type, uint64_t seed, uint32_t stream, int64_t row, uint64_t index, unsigned char *out) {
    uint32_t w[56], d, unused, h[4], q6 = type == BF_Q6_K, bytes = (uint32_t)bf_dtype_bytes(type, q6 ? 256 : 32);
    for (uint32_t i = 0; 16 * i < bytes; i++) bf_random4(seed, stream, index * 16 + i, w + 4 * i);
    memcpy(out, w, bytes);
    if (f == BF_FILL_BITS || f == BF_FILL_ALL16 || f == BF_FILL_TIES) return;
    bf_random4(seed, stream, index * 16 + 15, h);
    if (type == BF_MXFP4) {
        fill_mxfp4(f, seed, stream, row, h, out);
        return;
    }
    header_of(f, q6 ? 3.1e-5 : 3.4e-4, seed, stream, row, h, &d, &unused);
    if (!q6) {
        put16(out, d);
        if (f == BF_FILL_CONSTANT || f == BF_FILL_SWAMP) memset(out + 2, f == BF_FILL_SWAMP ? 8 : 9, 32);
        return;
    }
    signed_scales(f, out + 192);
    put16(out + 208, d);
    if (f != BF_FILL_CONSTANT && f != BF_FILL_SWAMP) return;
    memset(out, f == BF_FILL_SWAMP ? 0x88 : 0x99, 128); /* 8 or 9, and 32 of the upper bits, less 32 */
    memset(out + 128, 0xaa, 64);
}

void bf_fill_qblock(bf_fill f, bf_dtype type, uint64_t seed, uint32_t stream, int64_t rows, int64_t blocks, void *out) {
    unsigned char *p = out;
    uint64_t bytes = bf_dtype_bytes(type, type == BF_Q6_K ? 256 : 32);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t b = 0; b < blocks; b++)
            fill_qblock(f, type, seed, stream, row, (uint64_t)(row * blocks + b), p + bytes * (uint64_t)(row * blocks + b));
}
