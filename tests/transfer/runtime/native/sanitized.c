/* Every kernel over many sizes in buffers of exact sizes, for the compiler's sanitizers. */
#include <stdio.h>

#include "kernels.c"

static float *numbers(long n) { /* small random ones */
    float *x = malloc(n * sizeof(float));
    for (long i = 0; i < n; i++) x[i] = (float)rand() / RAND_MAX * 0.2f - 0.1f;
    return x;
}

static int has_nan(const float *x, long n) {
    for (long i = 0; i < n; i++)
        if (x[i] != x[i]) return 1;
    return 0;
}

static void windows(long length, long size, int half) {
    enum { BATCH = 2, HEADS = 3, VIEWS = 8 };
    long n = BATCH * HEADS * length * size;
    Shape shape = {HEADS, length, size, half, 0.25f};
    float *logs = numbers(BATCH * HEADS * length);
    View x[VIEWS]; /* zeros are zeros in both precisions */
    for (int i = 0; i < VIEWS; i++) x[i] = (View){calloc(n, half ? 2 : 4), HEADS * length * size, length * size, size};
    attention_forward(x[0], x[1], x[2], x[3], logs, shape, 0, BATCH * HEADS);
    attention_backward(x[0], x[1], x[2], x[4], logs, x[5], x[6], x[7], shape, 0, BATCH * HEADS);
    for (int i = 0; i < VIEWS; i++) free(x[i].data);
    free(logs);
}

/* Whether no dimension of an action chosen behind n tokens is NaN. */
static int action(Model m, long n, long bins, long outputs) {
    enum { SIZE = 3 };
    long width = m.heads * m.size, s = m.sequences;
    float *tokens = numbers(s * n * width), *times = numbers(s * width), *actions = numbers(s * SIZE);
    Tables a = {numbers(SIZE * (bins - 1)), numbers(SIZE * bins * width),    numbers(width),
                numbers(SIZE * outputs * width), numbers(SIZE * outputs), outputs > 1 ? numbers(SIZE * outputs) : NULL,
                SIZE, bins, outputs};
    int fine = !decoder_choose(m, a, tokens, times, actions, 1, n, 0, s) && !has_nan(actions, s * SIZE);
    free(tokens), free(times), free(actions);
    return fine;
}

/* Whether no hidden vector has NaN. */
static int stream(long sequences, long capacity) {
    static const long pieces[] = {5, 1, 1, 2, 3, 1, 4, 7, 1};
    enum { DEPTH = 2, HEADS = 2, SIZE = LANES, W = HEADS * SIZE };
    Layer layers[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        layers[i] = (Layer){numbers(W), numbers(W), numbers(3 * W * W), numbers(3 * W), numbers(W * W), numbers(W),
                            numbers(W), numbers(W), numbers(4 * W * W), numbers(4 * W), numbers(4 * W * W), numbers(W)};
    float *past = calloc(DEPTH * sequences * capacity * 2 * W, sizeof(float));
    Model m = {layers, numbers(W), numbers(W), numbers(W), numbers(W), past, DEPTH, sequences, HEADS, capacity, SIZE, 1e-5f};
    int fine = 1;
    for (long known = 0, i = 0; i < 9 && known + pieces[i] <= capacity; known += pieces[i++])
        for (long wanted = 0; wanted <= pieces[i]; wanted++) {
            float *tokens = numbers(sequences * pieces[i] * W), *hidden = numbers(sequences * wanted * W);
            fine &= !decoder_read(m, tokens, hidden, known, pieces[i], wanted, 0, sequences);
            fine &= !has_nan(hidden, sequences * wanted * W);
            free(tokens), free(hidden);
        }
    for (long n = 1; 1 + n + 2 <= capacity; n += 5) fine &= action(m, n, 1, 1) && action(m, n, 4, 1) && action(m, n, 4, 5);
    return fine;
}

int main(void) {
    int fine = 1;
    for (int half = 0; half < 2; half++)
        for (long length = 1; length < 80; length += 7)
            for (long size = LANES; size <= 3 * LANES; size += LANES) windows(length, size, half);
    for (long sequences = 1; sequences < 22; sequences += 5)
        for (long capacity = STEP; capacity <= 6 * STEP; capacity += STEP) fine &= stream(sequences, capacity);
    puts(fine ? "clean" : "not a number");
    return !fine;
}
