"""Episodes for training, and episodes that are held out to measure an error on data that were not trained on."""

from __future__ import annotations

import numpy as np

from transfer.data.episodes import Episodes
from transfer.errors import TransferError

EVERY = 10  # of as many episodes or more, one in ten is held out
TAIL = 5  # of fewer, the last fifth of each


def held_out(episodes: Episodes) -> tuple[Episodes, Episodes]:
    """The episodes to train on, and those that are held out.

    Of ten episodes or more every tenth is held out, from one that the content decides; of fewer the last fifth of each.

    Raises:
        TransferError: an episode is too short to hold out a fifth of it.
    """
    if len(episodes) >= EVERY:
        first = int(episodes.content_hash[:8], 16) % EVERY
        kept = np.arange(len(episodes)) % EVERY == first
        return episodes.pick(np.flatnonzero(~kept)), episodes.pick(np.flatnonzero(kept))
    cut = episodes.offsets[1:] - episodes.lengths // TAIL
    if (cut == episodes.offsets[1:]).any():
        raise TransferError(
            f"{', '.join(episodes.dataset_ids)}: an episode of {int(episodes.lengths.min())} steps has no fifth to "
            "hold out. Give more data, or set held_out to false."
        )
    return episodes.stretches(episodes.offsets[:-1], cut), episodes.stretches(cut, episodes.offsets[1:])
