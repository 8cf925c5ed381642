/* Causal attention of one head, forward and backward, in float32. A few queries at a time keep their scores in the cache;
 * backward computes the scores again, as FlashAttention does (Dao et al. 2022, arXiv 2205.14135).
 */
#pragma once
#include <math.h>

#include "vector.h"

enum { BLOCK = 32 }; /* queries whose weights backward keeps; a multiple of ROWS */

/* The rows of a head: row i begins `row` elements behind row i - 1. */
typedef struct {
    void *data;
    long row;
    int half; /* bfloat16 instead of float32 */
} Rows;

/* Skip the first rows. */
INLINE Rows after(Rows x, long rows) {
    x.data = (char *)x.data + rows * x.row * (x.half ? 2 : 4);
    return x;
}

/* Copy rows (n, size) times a factor to adjacent floats. */
static void gather(float *to, Rows from, long n, long size, float factor) {
    for (long i = 0; i < n; i++, from = after(from, 1))
        for (long c = 0; c < size; c += LANES, to += LANES)
            store(to, factor * (from.half ? widen((uint16_t *)from.data + c) : load((float *)from.data + c)));
}

/* The inverse of gather. */
static void scatter(Rows to, const float *from, long n, long size, float factor) {
    for (long i = 0; i < n; i++, to = after(to, 1))
        for (long c = 0; c < size; c += LANES, from += LANES)
            if (to.half)
                narrow((uint16_t *)to.data + c, load(from) * factor);
            else
                store((float *)to.data + c, load(from) * factor);
}

/* (n, size) -> (size, ld). */
static void transpose(float *to, long ld, const float *from, long n, long size) {
    for (long c = 0; c < size; c++)
        for (long i = 0; i < n; i++) to[c * ld + i] = from[i * size + c];
}

/* Turn scores of one query into weights before division; returns their sum and writes the maximum to `top`. */
static float softmax(float *scores, long seen, long padded, float *top) {
    vec high = all(-INFINITY), total = {0};
    for (long j = 0; j < seen; j += LANES) {
        vec x = first_lanes(load(scores + j), seen - j, -INFINITY);
        high = where(x > high, x, high);
    }
    *top = largest(high);
    for (long j = 0; j < padded; j += LANES) {
        vec weight = first_lanes(exponential(load(scores + j) - *top), seen - j, 0);
        store(scores + j, weight);
        total += weight;
    }
    return sum(total);
}

/* n queries; the first sees `before` keys and its own.
 *
 * queries (n rounded up to ROWS, size) are scaled; turned (size, ld) are keys; values (ld, size) are finite to the end.
 * scratch holds ROWS * (ld + size) floats. logs, unless NULL, receives the log of each query's sum of exponentials.
 */
static void attend_rows(const float *queries, const float *turned, const float *values, Rows out, float *logs, long n,
                        long before, long ld, long size, float *scratch) {
    float *scores = scratch, *mixed = scores + ROWS * ld;
    for (long i = 0; i < n; i += ROWS) {
        long last = i + ROWS < n ? i + ROWS : n, padded = up(before + last, STEP);
        float sums[ROWS], top;
        product(scores, ld, queries + i * size, size, 1, turned, ld, ROWS, padded, size, 0);
        for (long r = i; r < last; r++) {
            sums[r - i] = softmax(scores + (r - i) * ld, before + r + 1, padded, &top);
            if (logs) logs[r] = top + logf(sums[r - i]);
        }
        product(mixed, size, scores, ld, 1, values, size, ROWS, size, padded, 0);
        for (long r = i; r < last; r++) scatter(after(out, r), mixed + (r - i) * size, 1, size, 1 / sums[r - i]);
    }
}

/* A head of a window of `length` tokens. scratch holds 4 * ld * size + ROWS * (ld + size) floats, ld = up(length, STEP). */
static void head_forward(Rows q, Rows k, Rows v, Rows out, float *logs, long length, long size, float scale,
                         float *scratch) {
    long ld = up(length, STEP), whole = ld * size;
    float *queries = scratch, *keys = queries + whole, *turned = keys + whole, *values = turned + whole;
    memset(scratch, 0, 4 * whole * sizeof(float));
    gather(queries, q, length, size, scale);
    gather(keys, k, length, size, 1);
    gather(values, v, length, size, 1);
    transpose(turned, ld, keys, length, size);
    attend_rows(queries, turned, values, out, logs, length, 0, ld, size, values + whole);
}

/* Turn scores of ROWS queries into weights, zero behind the keys that each query sees. */
static void weigh(float *weights, const float *logs, long ld, long first, long last, long padded) {
    for (long r = first; r < first + ROWS; r++) {
        float *row = weights + (r - first) * ld;
        long seen = r < last ? r + 1 : 0;
        for (long j = 0; j < seen; j += LANES)
            store(row + j, first_lanes(exponential(load(row + j) - logs[r]), seen - j, 0));
        memset(row + up(seen, LANES), 0, (padded - up(seen, LANES)) * sizeof(float));
    }
}

/* Turn gradients of ROWS queries' weights into gradients of their scores, zero behind the keys that are seen. */
static void through_softmax(float *change, const float *weights, long ld, long seen, long padded) {
    for (long r = 0; r < ROWS; r++, change += ld, weights += ld) {
        vec both = {0};
        for (long j = 0; j < seen; j += LANES) both += load(weights + j) * load(change + j);
        float mean = sum(both);
        for (long j = 0; j < seen; j += LANES) store(change + j, load(weights + j) * (load(change + j) - mean));
        memset(change + seen, 0, (padded - seen) * sizeof(float));
    }
}

/* Gradients dq, dk, dv of a head from `grad`, the gradient of the output, and `logs` of head_forward.
 *
 * scratch holds 8 * ld * size + 2 * BLOCK * ld + ROWS * size floats, ld = up(length, STEP).
 */
static void head_backward(Rows q, Rows k, Rows v, Rows grad, const float *logs, Rows dq, Rows dk, Rows dv, long length,
                          long size, float scale, float *scratch) {
    long ld = up(length, STEP), whole = ld * size;
    float *queries = scratch, *keys = queries + whole, *values = keys + whole, *grads = values + whole;
    float *turned_keys = grads + whole, *turned_values = turned_keys + whole;
    float *dkeys = turned_values + whole, *dvalues = dkeys + whole;
    float *weights = dvalues + whole, *change = weights + BLOCK * ld, *dqueries = change + BLOCK * ld;
    memset(scratch, 0, 8 * whole * sizeof(float));
    gather(queries, q, length, size, scale);
    gather(keys, k, length, size, 1);
    gather(values, v, length, size, 1);
    gather(grads, grad, length, size, 1);
    transpose(turned_keys, ld, keys, length, size);
    transpose(turned_values, ld, values, length, size);
    for (long first = 0; first < length; first += BLOCK) {
        long end = up(first + BLOCK < length ? first + BLOCK : length, ROWS), padded = up(end, STEP);
        for (long i = first; i < end; i += ROWS) {
            float *w = weights + (i - first) * ld, *dw = change + (i - first) * ld;
            long last = i + ROWS < length ? i + ROWS : length, seen = up(last, STEP);
            product(w, ld, queries + i * size, size, 1, turned_keys, ld, ROWS, seen, size, 0);
            product(dw, ld, grads + i * size, size, 1, turned_values, ld, ROWS, seen, size, 0);
            weigh(w, logs, ld, i, last, padded);
            through_softmax(dw, w, ld, seen, padded);
            product(dqueries, size, dw, ld, 1, keys, size, ROWS, size, seen, 0);
            scatter(after(dq, i), dqueries, last - i, size, scale);
        }
        product(dvalues, size, weights, 1, ld, grads + first * size, size, padded, size, end - first, 1);
        product(dkeys, size, change, 1, ld, queries + first * size, size, padded, size, end - first, 1);
    }
    scatter(dk, dkeys, length, size, 1);
    scatter(dv, dvalues, length, size, 1);
}
