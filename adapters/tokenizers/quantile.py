"""Bins of equal mass, with separate bins for frequent values."""

import numpy as np

from transfer.adapters.tokenizers.quantile_edges import quantile_edges
from transfer.adapters.tokenizers.tables import Float32, Float64
from transfer.adapters.tokenizers.tokenizer import Tokenizer


class QuantileTokenizer(Tokenizer):
    """Bins of equal mass. A value that holds more than 1/bins of the data (an atom) gets its own bin.

    Plain quantile bins fail on ties: saturated actions fill many quantiles with one value, duplicate edges collapse,
    and the values -1 and 1 decode to others. Here the atoms get their bins first, and the other bins are quantiles of
    the rest. An id decodes to the mean of its data, so an atom decodes to itself. Without atoms the edges equal those
    of scikit-learn's KBinsDiscretizer (the oracle in the tests).

    An edge beside an atom lies half way to the neighbouring value in the data. Bins without data are left out, so
    every id below `n_used_` occurs in the data.
    """

    kind = "quantile"

    def _fit_dimension(self, data: Float32, bins: int) -> tuple[Float32, Float64]:
        edges = quantile_edges(data, bins)
        starts = np.concatenate([[0], np.searchsorted(data, edges, side="left")])
        stops = np.append(starts[1:], len(data))
        means = np.array([data[a:b].mean(dtype=np.float64) for a, b in zip(starts, stops, strict=True)])
        return edges, np.clip(means, data[starts], data[stops - 1])  # a sum may round an atom's mean away from it
