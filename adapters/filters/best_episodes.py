"""The episodes with the highest returns, as %BC trains on (Chen et al. 2021, section 5.1)."""

from __future__ import annotations

import numpy as np

from transfer.data.episodes import Episodes
from transfer.numbers import real


def best_episodes(episodes: Episodes, *, share: float = 0.1) -> Episodes:
    """The best episodes by undiscounted return, until a share of all steps is taken; in their order in the data.

    Raises:
        TransferError: a share that is not above 0 and at most 1.
    """
    wanted = real(share, "filter.share", above=0, most=1) * episodes.num_steps
    order = np.argsort(-episodes.returns, kind="stable")
    before = np.cumsum(episodes.lengths[order]) - episodes.lengths[order]
    return episodes.pick(np.sort(order[before < wanted]))
