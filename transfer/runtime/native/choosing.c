/* The function that native/blocks.py calls to choose all dimensions of an action, one after the other.
 *
 * Each dimension reads all keys and values of its sequence. A few sequences choose all of their dimensions before the next
 * few begin, so that their keys and values stay in the cache: as many as the rows of a product, fewer for long windows.
 */
#include "attention.h"

#ifndef CACHED
#define CACHED (8 << 20) /* bytes of keys and values that sequences may have together, unless one has more */
#endif

/* Of an adapter, see transfer/decoding/tables.py. slope may be NULL for zeros, centers for tanh. */
typedef struct {
    const float *edges, *rows, *slope, *weights, *biases, *centers;
    long size, bins, outputs;
} Tables;

INLINE float dot(const float *a, const float *b, long n) {
    vec total = {0};
    for (long i = 0; i < n; i += LANES) total += load(a + i) * load(b + i);
    return sum(total);
}

/* The value of dimension i from the hidden vector that predicts it; `logits` has room for all outputs. */
static float value_of(Tables a, long i, const float *hidden, long width, float *logits) {
    const float *weights = a.weights + i * a.outputs * width, *biases = a.biases + i * a.outputs;
    if (!a.centers) return tanhf(dot(hidden, weights, width) + *biases);
    float top = -INFINITY, total = 0, mean = 0;
    for (long v = 0; v < a.outputs; v++) {
        logits[v] = dot(hidden, weights + v * width, width) + biases[v];
        if (logits[v] > top) top = logits[v];
    }
    for (long v = 0; v < a.outputs; v++) {
        float share = expf(logits[v] - top);
        total += share, mean += share * a.centers[i * a.outputs + v];
    }
    return mean / total;
}

/* The token of a value of dimension i; `time` is the vector of its step. */
static void token_of(float *token, Tables a, long i, float value, const float *time, long width) {
    const float *edges = a.edges + i * (a.bins - 1), *row = a.rows + i * a.bins * width;
    for (long v = 0; v < a.bins - 1; v++) row += value < edges[v] ? 0 : width; /* NaN is in the last bin */
    for (long c = 0; c < width; c += LANES) {
        vec x = load(row + c) + load(time + c);
        if (a.slope) x += value * load(a.slope + c);
        store(token + c, x);
    }
}

/* Read tokens (count, n, width), then choose actions (count, size) at times (count, width). */
static void choose(Model m, Tables a, const float *tokens, const float *times, float *actions, long known, long n,
                   long first, long count, float *room, float *hidden) {
    long width = m.heads * m.size;
    float *next = hidden + count * width, *logits = next + count * width;
    read_tokens(m, tokens, hidden, known, n, 1, first, count, room);
    for (long i = 0; i < a.size; i++) {
        if (i) {
            for (long s = 0; s < count; s++)
                token_of(next + s * width, a, i - 1, actions[s * a.size + i - 1], times + s * width, width);
            read_tokens(m, next, hidden, known + n + i - 1, 1, 1, first, count, room);
        }
        for (long s = 0; s < count; s++) actions[s * a.size + i] = value_of(a, i, hidden + s * width, width, logits);
    }
}

/* The same for sequences `first` to `end` of tokens (sequences, n, width), times (sequences, width) and actions
 * (sequences, size). Returns 0, or 1 when out of memory.
 */
int decoder_choose(Model m, Tables a, const float *tokens, const float *times, float *actions, long known, long n,
                   long first, long end) {
    long width = m.heads * m.size, length = known + n + a.size;
    long few = CACHED / (length * m.depth * 2 * width * (long)sizeof(float));
    few = few >= ROWS ? ROWS : few >= FEWER ? FEWER : few > 1 ? few : 1;
    long read = together(few, n) * n;
    float *room = room_for(m, read > few ? read : few, n, length);
    float *hidden = malloc((2 * few * width + a.outputs) * sizeof(float));
    if (room && hidden)
        for (long s = first; s < end; s += few)
            choose(m, a, tokens + s * n * width, times + s * width, actions + s * a.size, known, n, s,
                   s + few < end ? few : end - s, room, hidden);
    free(room), free(hidden);
    return !room || !hidden;
}
