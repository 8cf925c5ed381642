/* All kernels as one library; transfer/runtime/native/compiled.py builds it. */
#include "attention.c"
#include "blocks.c"
#include "choosing.c"

const int lanes = LANES; /* head sizes are multiples of it */
const int step = STEP;   /* token capacities are multiples of it */
