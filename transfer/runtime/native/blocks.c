/* Functions that native/blocks.py calls: the blocks of a trunk over new tokens of some sequences, in float32. */
#include "attention.h"

enum {
    GROUP = 64, /* tokens that go through the blocks at a time, so that intermediate values stay in the cache */
    AHEAD = 8,  /* groups of keys and values that one query reads at a time, while the next are fetched */
};

/* Weights of a block as [in][out], with the scale of queries and IA3 gains multiplied in. */
typedef struct {
    const float *ln_1, *ln_1_bias, *qkv, *qkv_bias, *out, *out_bias, *ln_2, *ln_2_bias, *fc, *fc_bias, *proj, *proj_bias;
} Layer;

/* past is (depth, sequences, heads, capacity / LANES, 2 * LANES * size), finite everywhere. A group of LANES tokens holds
 * keys (size, LANES), one feature a vector, then values (LANES, size). One query reads it from front to back.
 */
typedef struct {
    const Layer *layers;
    const float *ln_in, *ln_in_bias, *ln_out, *ln_out_bias;
    float *past;
    long depth, sequences, heads, capacity, size;
    float eps;
} Model;

/* LayerNorm of some tokens. */
static void normalise(float *to, const float *x, const float *gain, const float *bias, long tokens, long width,
                      float eps) {
    for (long r = 0; r < tokens; r++, x += width, to += width) {
        vec total = {0}, squares = {0};
        for (long c = 0; c < width; c += LANES) total += load(x + c);
        float mean = sum(total) / width;
        for (long c = 0; c < width; c += LANES) squares += (load(x + c) - mean) * (load(x + c) - mean);
        float factor = 1 / sqrtf(sum(squares) / width + eps);
        for (long c = 0; c < width; c += LANES)
            store(to + c, (load(x + c) - mean) * factor * load(gain + c) + load(bias + c));
    }
}

/* GELU through an erf of absolute error 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26). */
INLINE vec gelu(vec x) {
    vec z = x * 0.70710678f, far = (vec)((ivec)z & 0x7fffffff), t = 1.0f / (1.0f + 0.3275911f * far);
    vec p = 1.061405429f * t - 1.453152027f;
    p = ((p * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f;
    vec tail = p * t * exponential(-far * far); /* 1 - erf */
    return x * where(x < 0.0f, 0.5f * tail, 1.0f - 0.5f * tail);
}

static void add_bias(float *x, const float *bias, long rows, long width) {
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < width; c += LANES) store(x + r * width + c, load(x + r * width + c) + load(bias + c));
}

INLINE void fetch(const float *from, long n) {
    for (long i = 0; i < n; i += 16) __builtin_prefetch(from + i, 0, 2);
}

/* Offset of the group of `token`. */
INLINE long group_of(long token, long size) { return token / LANES * 2 * LANES * size; }

/* Scores of one query with a group of keys (size, LANES). */
INLINE vec scores_of(const float *q, const float *keys, long size) {
    vec a = {0}, b = {0}, c = {0}, d = {0};
    for (long i = 0; i < size; i += 4, keys += 4 * LANES) {
        a += q[i] * load(keys), b += q[i + 1] * load(keys + LANES);
        c += q[i + 2] * load(keys + 2 * LANES), d += q[i + 3] * load(keys + 3 * LANES);
    }
    return (a + b) + (c + d);
}

/* out (size) = shrink * out + weights of some groups times their values (LANES, size). */
INLINE void mix(float *out, float shrink, const float *weights, const float *values, long groups, long size) {
    for (long i = 0; i < size; i += LANES) {
        vec a = shrink * load(out + i), b = {0}, c = {0}, d = {0};
        const float *w = weights, *from = values + i;
        for (long g = 0; g < groups; g++, from += LANES * size)
            for (long j = 0; j < LANES; j += 4, w += 4, from += 4 * size) {
                a += w[0] * load(from), b += w[1] * load(from + size);
                c += w[2] * load(from + 2 * size), d += w[3] * load(from + 3 * size);
            }
        store(out + i, (a + b) + (c + d));
    }
}

/* Scores of a query with up to AHEAD groups of one head, from token `first` on; returns the number of groups. `coming` are
 * the next groups, whose keys are fetched meanwhile; after the last come those of the next head, at offset `head`.
 */
static long look(vec *scores, const float **coming, const float *q, const float *past, long first, long seen, long size,
                 long head) {
    long groups = 0;
    for (long j = first; j < seen && groups < AHEAD; j += LANES, groups++) {
        long next = j + AHEAD * LANES, over = next - up(seen, LANES);
        coming[groups] = past + (over < 0 ? group_of(next, size) : head + group_of(over, size));
        fetch(coming[groups], LANES * size);
        scores[groups] = first_lanes(scores_of(q, past + group_of(j, size), size), seen - j, -INFINITY);
    }
    return groups;
}

/* One query over all keys. Memory traffic dominates, so it takes one pass with the largest score so far, AHEAD groups at a
 * time (Milakov and Gimelshein 2018, arXiv 1805.02867).
 */
static void attend_one(float *out, const float *q, const float *past, long seen, long size, long head) {
    float top = -INFINITY, weights[AHEAD * LANES];
    vec total = {0}, scores[AHEAD];
    const float *coming[AHEAD];
    memset(out, 0, size * sizeof(float));
    for (long first = 0; first < seen; first += AHEAD * LANES) {
        long groups = look(scores, coming, q, past, first, seen, size, head);
        vec high = all(top);
        for (long g = 0; g < groups; g++) high = where(scores[g] > high, scores[g], high);
        float highest = largest(high), shrink = highest > top ? expf(top - highest) : 1;
        top = highest, total *= shrink;
        for (long g = 0; g < groups; g++) {
            vec weight = exponential(scores[g] - top);
            store(weights + g * LANES, weight);
            fetch(coming[g] + LANES * size, LANES * size);
            total += weight;
        }
        mix(out, shrink, weights, past + group_of(first, size) + LANES * size, groups, size);
    }
    float share = 1 / sum(total);
    for (long i = 0; i < size; i++) out[i] *= share;
}

/* Several queries over all keys. scratch holds (up(n, ROWS) + 2 * ld + ROWS) * size + ROWS * ld floats. */
static void attend_many(Rows out, Rows q, const float *past, long n, long seen, long size, float *scratch) {
    long ld = up(seen, STEP), rows = up(n, ROWS);
    float *queries = scratch, *turned = queries + rows * size, *values = turned + ld * size;
    memset(queries, 0, rows * size * sizeof(float));
    gather(queries, q, n, size, 1);
    for (long j = 0; j < ld; j += LANES) {
        const float *keys = past + group_of(j, size);
        for (long i = 0; i < size; i++) store(turned + i * ld + j, load(keys + i * LANES));
        memcpy(values + j * size, keys + LANES * size, LANES * size * sizeof(float));
    }
    attend_rows(queries, turned, values, out, NULL, n, seen - n, ld, size, values + ld * size);
}

/* Keep a token's key and value of one head. The first of STEP tokens clears the room of all: a NaN of an earlier window
 * would pass through a weight of zero.
 */
static void keep(float *past, const float *key, const float *value, long token, long size) {
    float *keys = past + group_of(token, size);
    if (token % STEP == 0) memset(keys, 0, 2 * STEP * size * sizeof(float));
    for (long i = 0; i < size; i++) keys[i * LANES + token % LANES] = key[i];
    memcpy(keys + (LANES + token % LANES) * size, value, size * sizeof(float));
}

/* All heads of the last n tokens of a sequence except the first `skipped`; qkv (n, 3 width), out (n, width). */
static void attend(float *out, const float *qkv, Model m, long layer, long sequence, long known, long n, long skipped,
                   float *scratch) {
    long width = m.heads * m.size, row = 3 * width, head = m.capacity * 2 * m.size;
    for (long h = 0; h < m.heads; h++) {
        const float *q = qkv + h * m.size;
        float *past = m.past + ((layer * m.sequences + sequence) * m.heads + h) * head;
        float *to = out + h * m.size;
        for (long i = 0; i < n; i++) keep(past, q + i * row + width, q + i * row + 2 * width, known + i, m.size);
        if (n - skipped > 3) {
            Rows from = {(void *)(q + skipped * row), row, 0}, into = {to + skipped * width, width, 0};
            attend_many(into, from, past, n - skipped, known + n, m.size, scratch);
        } else
            for (long i = skipped; i < n; i++) attend_one(to + i * width, q + i * row, past, known + i + 1, m.size, head);
    }
}

/* Move the last `wanted` of each sequence's n tokens together, in place. */
static void keep_last(float *x, long count, long n, long wanted, long width) {
    for (long s = 0; s < count; s++)
        memmove(x + s * wanted * width, x + ((s + 1) * n - wanted) * width, wanted * width * sizeof(float));
}

/* x += the feed-forward layers of normalised x. */
static void feed_forward(Layer w, float *x, float *normed, float *wide, long tokens, long width, float eps) {
    long rows = up(tokens, FEWER);
    normalise(normed, x, w.ln_2, w.ln_2_bias, tokens, width, eps);
    product(wide, 4 * width, normed, width, 1, w.fc, 4 * width, rows, 4 * width, width, 0);
    for (long r = 0; r < tokens; r++)
        for (long c = 0; c < 4 * width; c += LANES)
            store(wide + r * 4 * width + c, gelu(load(wide + r * 4 * width + c) + load(w.fc_bias + c)));
    product(x, width, wide, 4 * width, 1, w.proj, width, rows, width, 4 * width, 1);
    add_bias(x, w.proj_bias, tokens, width);
}

/* Pass tokens x of sequences `first` to `first + count` through all blocks, in place; after its attention the last block
 * computes the last `wanted` of each alone. All buffers have room for ROWS more tokens.
 */
static void through_blocks(Model m, float *x, long first, long count, long known, long n, long wanted, float *buffer,
                           float *scratch) {
    long width = m.heads * m.size, tokens = count * n, rows = up(tokens, FEWER);
    float *normed = buffer, *mixed = normed + rows * width, *wide = mixed + rows * width;
    for (long layer = 0; layer < m.depth; layer++) {
        Layer w = m.layers[layer];
        long skipped = layer + 1 == m.depth ? n - wanted : 0;
        normalise(normed, x, w.ln_1, w.ln_1_bias, tokens, width, m.eps);
        product(wide, 3 * width, normed, width, 1, w.qkv, 3 * width, rows, 3 * width, width, 0);
        add_bias(wide, w.qkv_bias, tokens, 3 * width);
        for (long s = 0; s < count; s++)
            attend(mixed + s * n * width, wide + s * n * 3 * width, m, layer, first + s, known, n, skipped, scratch);
        if (skipped) {
            keep_last(x, count, n, wanted, width);
            keep_last(mixed, count, n, wanted, width);
            tokens = count * wanted, rows = up(tokens, FEWER);
        }
        product(x, width, mixed, width, 1, w.out, width, rows, width, width, 1);
        add_bias(x, w.out_bias, tokens, width);
        feed_forward(w, x, normed, wide, tokens, width, m.eps);
    }
}

/* The number of sequences of n tokens, of `count`, that go through the blocks together. */
static long together(long count, long n) {
    long most = n < GROUP ? GROUP / n : 1;
    return count < most ? count : most;
}

/* Zeroed buffers of the blocks for `tokens` tokens, n a sequence, which then has `length`; NULL when out of memory. */
static float *room_for(Model m, long tokens, long n, long length) {
    long ld = up(length, STEP), floats = 7 * up(tokens, ROWS) * m.heads * m.size;
    long scratch = (up(n, ROWS) + 2 * ld + ROWS) * m.size + ROWS * ld;
    float *room = aligned_alloc(64, up((floats + scratch) * sizeof(float), 64));
    if (room) memset(room, 0, floats * sizeof(float));
    return room;
}

/* Read tokens (count, n, width) of the sequences from `first` on, behind `known` others; writes the hidden vectors of the
 * last `wanted` to `hidden` (count, wanted, width).
 */
static void read_tokens(Model m, const float *tokens, float *hidden, long known, long n, long wanted, long first,
                        long count, float *room) {
    long width = m.heads * m.size, group = together(count, n), rows = up(group * n, ROWS);
    float *x = room, *buffer = x + rows * width, *scratch = buffer + 6 * rows * width;
    for (long s = 0; s < count; s += group) {
        long some = s + group < count ? group : count - s;
        normalise(x, tokens + s * n * width, m.ln_in, m.ln_in_bias, some * n, width, m.eps);
        through_blocks(m, x, first + s, some, known, n, wanted, buffer, scratch);
        normalise(hidden + s * wanted * width, x, m.ln_out, m.ln_out_bias, some * wanted, width, m.eps);
    }
}

/* The same for sequences `first` to `end` of tokens (sequences, n, width). Returns 0, or 1 when out of memory. */
int decoder_read(Model m, const float *tokens, float *hidden, long known, long n, long wanted, long first, long end) {
    long width = m.heads * m.size;
    float *room = room_for(m, together(end - first, n) * n, n, known + n);
    if (!room) return 1;
    read_tokens(m, tokens + first * n * width, hidden + first * wanted * width, known, n, wanted, first, end - first, room);
    free(room);
    return 0;
}
