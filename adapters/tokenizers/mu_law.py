"""Gato's bins: equal width after mu-law companding."""

import logging

import numpy as np

from transfer.adapters.tokenizers.tables import Float32, Float64
from transfer.adapters.tokenizers.tokenizer import Tokenizer
from transfer.adapters.tokenizers.uniform import grid

logger = logging.getLogger(__name__)

# Rounding can put a bounded action this far outside [-1, 1].
ROUNDING = 1e-5
# Gato's companding constants (arXiv 2205.06175, appendix B): sign(x) log(|x| mu + 1) / log(M mu + 1).
MU, LARGEST = 100.0, 256.0


class MuLawTokenizer(Tokenizer):
    """Gato's tokens: bins of equal width on [-1, 1], after mu-law companding of values up to +-256.

    As in Gato, a dimension whose data lie in [-1, 1] (bounded actions) is not companded. Apart from that the bins do
    not depend on the data. Values beyond +-256 are clipped, and `fit` logs it.
    """

    kind = "mu-law"

    def _fit_dimension(self, data: Float32, bins: int) -> tuple[Float32, Float64]:
        if (farthest := float(np.abs(data).max())) > LARGEST:
            logger.warning(
                "values as far from 0 as %g; mu-law bins end at %g, where they are clipped", farthest, LARGEST
            )
        points = np.linspace(-1.0, 1.0, 2 * bins + 1)
        if np.abs(data).max() > 1.0 + ROUNDING:
            points = np.sign(points) * np.expm1(np.abs(points) * np.log1p(LARGEST * MU)) / MU
        return grid(points)
