/* Functions that native/attention.py calls, over some of the B * H heads of a batch. */
#include "attention.h"

/* (B, H, L, size); strides are counted in elements, elements of a row are adjacent. */
typedef struct {
    void *data;
    long batch, head, row;
} View;

typedef struct {
    long heads, length, size, half;
    float scale;
} Shape;

static Rows rows_of(View x, long pair, Shape s) {
    long offset = pair / s.heads * x.batch + pair % s.heads * x.head;
    Rows rows = {(char *)x.data + offset * (s.half ? 2 : 4), x.row, (int)s.half};
    return rows;
}

/* Heads `first` to `end`, counted over the batch; logs is (B * H, L). Returns 0, or 1 when out of memory. */
int attention_forward(View q, View k, View v, View out, float *logs, Shape s, long first, long end) {
    long ld = up(s.length, STEP);
    float *scratch = aligned_alloc(64, up((4 * ld * s.size + ROWS * (ld + s.size)) * sizeof(float), 64));
    if (!scratch) return 1;
    for (long p = first; p < end; p++)
        head_forward(rows_of(q, p, s), rows_of(k, p, s), rows_of(v, p, s), rows_of(out, p, s), logs + p * s.length,
                     s.length, s.size, s.scale, scratch);
    free(scratch);
    return 0;
}

/* Gradients; the same ranges and return value. */
int attention_backward(View q, View k, View v, View grad, const float *logs, View dq, View dk, View dv, Shape s,
                       long first, long end) {
    long ld = up(s.length, STEP);
    float *scratch = aligned_alloc(64, up((8 * ld * s.size + 2 * BLOCK * ld + ROWS * s.size) * sizeof(float), 64));
    if (!scratch) return 1;
    for (long p = first; p < end; p++)
        head_backward(rows_of(q, p, s), rows_of(k, p, s), rows_of(v, p, s), rows_of(grad, p, s), logs + p * s.length,
                      rows_of(dq, p, s), rows_of(dk, p, s), rows_of(dv, p, s), s.length, s.size, s.scale, scratch);
    free(scratch);
    return 0;
}
