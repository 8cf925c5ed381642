"""Gato's filter of expert episodes (Reed et al. 2022, 2205.06175, section 5.3)."""

from __future__ import annotations

import numpy as np

from transfer.data.episodes import Episodes
from transfer.numbers import real

WIDEST = 1000  # episodes in a window


def expert(episodes: Episodes, *, share: float = 0.8) -> Episodes:
    """The episodes that reach a share of the expert return: the largest mean return of neighbouring episodes.

    A window has a tenth of the episodes, at most `WIDEST`. Of negative expert returns, the missing share is subtracted.

    Raises:
        TransferError: a share that is not above 0 and at most 1.
    """
    share = real(share, "filter.share", above=0, most=1)
    window = max(1, min(WIDEST, len(episodes) // 10))
    best = float(np.convolve(episodes.returns, np.full(window, 1 / window), "valid").max())
    return episodes.pick(np.flatnonzero(episodes.returns >= best - (1 - share) * abs(best)))
