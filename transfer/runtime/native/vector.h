/* Vectors of floats (an extension of GCC and Clang), and a product of matrices.
 *
 * LANES is the width of the machine's vectors. A product keeps ROWS x 2 vectors in registers.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 8
#elif defined(__AVX__)
#define LANES 8
#define ROWS 4
#else
#define LANES 4
#define ROWS 8
#endif
#define FEWER (ROWS / 2)                   /* rows of a product's last tile may be half as many */
#define STEP (LANES > ROWS ? LANES : ROWS) /* the number of keys is rounded up to it; a multiple of both */
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec x) { *(vec *)to = x; }
INLINE vec all(float x) { return x - (vec){0}; }
INLINE vec where(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }
/* bfloat16 is the upper half of a float32. */
INLINE vec widen(const uint16_t *from) { return (vec)(__builtin_convertvector(*(const hvec *)from, uvec) << 16); }

/* Rounds to the nearest, ties to even; NaN stays NaN. */
INLINE void narrow(uint16_t *to, vec x) {
    uvec bits = (uvec)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    *(hvec *)to = __builtin_convertvector((uvec)where(x != x, (vec)(bits >> 16 | 0x40), (vec)rounded), hvec);
}

/* x in the first n lanes, `other` in the rest. */
INLINE vec first_lanes(vec x, long n, float other) {
    static const int32_t order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return where(*(const ivec *)order < (int32_t)n, x, all(other));
}
INLINE long up(long n, long to) { return (n + to - 1) / to * to; }

/* Reduce all lanes: join halves until one is left. */
#define JOINED(name, join)                                  \
    INLINE float name(vec x) {                              \
        float parts[LANES];                                 \
        store(parts, x);                                    \
        for (int width = LANES / 2; width; width /= 2)      \
            for (int i = 0; i < width; i++) {               \
                float a = parts[i], b = parts[i + width];   \
                parts[i] = join;                            \
            }                                               \
        return parts[0];                                    \
    }
JOINED(sum, a + b)
JOINED(largest, a > b ? a : b)

/* e^x for x up to 88, relative error 2e-7; 0 below -87; NaN stays NaN. x = n ln 2 + f, |f| < 0.35, Taylor in f. */
INLINE vec exponential(vec x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    vec shifted = x * 1.44269504f + magic, n = shifted - magic;
    vec f = (x - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts, the first with trailing zeros */
    vec y = f * (1.0f / 720) + 1.0f / 120;
    y = y * f + 1.0f / 24;
    y = y * f + 1.0f / 6;
    y = y * f + 0.5f;
    y = y * f + 1.0f;
    y = y * f + 1.0f;
    ivec power = ((ivec)shifted - (ivec)all(magic) + 127) << 23;
    ivec small = x < -87.0f;
    return (vec)((ivec)(y * (vec)power) & ~small);
}

/* rows x (LANES wide * vectors) of C = A B, or C += A B. */
INLINE void tile(int rows, int vectors, float *c, long ldc, const float *a, long row, long column, const float *b, long ldb,
                 long depth, int add) {
    vec s[ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) s[i][j] = add ? load(c + i * ldc + j * LANES) : (vec){0};
    for (long t = 0; t < depth; t++) {
        vec b0 = load(b + t * ldb), b1 = vectors > 1 ? load(b + t * ldb + LANES) : b0;
        for (int i = 0; i < rows; i++) {
            vec x = all(a[i * row + t * column]);
            s[i][0] += x * b0;
            if (vectors > 1) s[i][1] += x * b1;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vectors; j++) store(c + i * ldc + j * LANES, s[i][j]);
}

/* C (m, n) = A (m, depth) B (depth, n), or += where `add`.
 *
 * Elements of A lie at a[i * row + t * column]; rows of B and C are ldb and ldc apart. m is a multiple of FEWER and n of
 * LANES: callers round up and allocate for it.
 */
static void product(float *c, long ldc, const float *a, long row, long column, const float *b, long ldb, long m, long n,
                    long depth, int add) {
    for (long j = 0; j < n; j += 2 * LANES)
        for (long i = 0; i < m; i += ROWS)
            if (n - j > LANES && m - i >= ROWS)
                tile(ROWS, 2, c + i * ldc + j, ldc, a + i * row, row, column, b + j, ldb, depth, add);
            else if (n - j > LANES)
                tile(FEWER, 2, c + i * ldc + j, ldc, a + i * row, row, column, b + j, ldb, depth, add);
            else if (m - i >= ROWS)
                tile(ROWS, 1, c + i * ldc + j, ldc, a + i * row, row, column, b + j, ldb, depth, add);
            else
                tile(FEWER, 1, c + i * ldc + j, ldc, a + i * row, row, column, b + j, ldb, depth, add);
}
