/* One library of all kernels; transfer/runtime/native/__init__.py builds it. */
#include "attention.c"
#include "blocks.c"
#include "choosing.c"

const int lanes = LANES; /* sizes of heads are multiples of it */
const int step = STEP;   /* capacities for tokens are multiples of it */
