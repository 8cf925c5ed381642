"""Bins of equal width."""

import numpy as np

from transfer.adapters.tokenizers.tables import Float32, Float64
from transfer.adapters.tokenizers.tokenizer import Tokenizer


class UniformTokenizer(Tokenizer):
    """Bins of equal width between the smallest and the largest value of a dimension. Ids decode to bin centres."""

    kind = "uniform"

    def _fit_dimension(self, data: Float32, bins: int) -> tuple[Float32, Float64]:
        # of Python's numbers: between two of float32 the points are float32 too, and infinite for the widest data
        return grid(np.linspace(float(data[0]), float(data[-1]), 2 * bins + 1))


def grid(points: Float64) -> tuple[Float32, Float64]:
    """Edges and centres from the points edge, centre, edge, ... (2 bins + 1,), without bins too narrow for float32."""
    edges = np.unique(points[2:-1:2].astype(np.float32))
    edges = edges[(edges > points[0]) & (edges <= points[-1])]
    if len(edges) + 1 == len(points) // 2:
        centers = points[1::2]
    else:
        outer = np.concatenate([points[:1], edges, points[-1:]])
        centers = (outer[:-1] + outer[1:]) / 2
    lowest = np.concatenate([[-np.inf], edges])
    highest = np.nextafter(np.append(edges, np.float32(np.inf)), np.float32(-np.inf))
    return edges, np.clip(centers.astype(np.float32), lowest, highest).astype(np.float64)
