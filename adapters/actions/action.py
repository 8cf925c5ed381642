"""The base class of action embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.tables import Tables
from transfer.data.batch import Steps
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, unknown
from transfer.models.steps.group import PredictedGroup
from transfer.models.steps.scales import Scales

if TYPE_CHECKING:
    from transfer.adapters.tokenizers.tokenizer import Tokenizer

RANGES = ("per-dimension", "shared", "shared+index")
READOUTS = ("regression", "categorical")


class ActionGroup(PredictedGroup):
    """An action embedding with its readout. Values are scaled actions, -1 to 1 between the environment's bounds.

    Attributes:
        action_size: A.
        spread: whether there is a token for each action dimension, else one for the whole action.
        tokenized: whether tokens are rows of a table of bins.
        bins: the fitted tokenizer as tensors, None where there is none.
    """

    spread: bool
    tokenized: bool
    action_size: int
    bins: Bins | None
    _options: dict[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Sizes, options, and the fitted tokenizer as its JSON."""
        if "tokenizer" not in self._options:
            return dict(self._options)
        return {**self._options, "tokenizer": self.bins and self.bins.tables().to_json()}

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer, read from the buffers; None where there is none."""
        if self.bins is None:
            return None
        from transfer.adapters.tokenizers.tokenizer import tokenizer_of

        return tokenizer_of(self.bins.tables())

    def values(self, steps: Steps, scales: Scales) -> Tensor:
        """The environment's actions, scaled, (B, T, A)."""
        return scales.scale_actions(steps.actions)

    def raw(self, values: Tensor, scales: Scales) -> Tensor:
        """Scaled actions (..., A) -> the environment's, within its bounds."""
        return scales.action_range().outward(values)


def check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raise TransferError unless an option of the action embedding is one of the known values."""
    if not isinstance(value, str) or value not in known:
        raise unknown(f"adapter.action.{name}", value, known)


def fitted(tokenizer: str | Tokenizer, bins: int, episodes: Episodes, scales: Scales) -> dict[str, Any]:
    """The JSON of a tokenizer of some kind, fitted on the scaled actions of some episodes, or of a fitted one."""
    ours = fit_tokenizer(tokenizer, bins, episodes, scales) if isinstance(tokenizer, str) else tokenizer
    return ours.to_json()


def fit_tokenizer(kind: str, bins: int, episodes: Episodes, scales: Scales) -> Tokenizer:
    """Fits a tokenizer on the scaled actions of some episodes."""
    # Here, for it imports scikit-learn, which a model that is loaded and acts does without.
    from transfer.adapters.tokenizers.tokenizer import make_tokenizer

    whole = scales.action_range()

    def columns() -> Iterator[NDArray[np.float32]]:
        for i in range(episodes.action_size):
            column = torch.from_numpy(np.array(episodes.actions[:, i]))
            yield whole.each(itemgetter(i)).inward(column).numpy()

    return make_tokenizer(kind, bins).fit_columns(columns())


def bins_of(stored: dict[str, Any], action_size: int) -> Bins:
    """The tables of a stored tokenizer.

    Raises:
        TransferError: it is for another number of action dimensions, or was fitted on actions that were not scaled.
    """
    tables = Tables.from_json(stored)
    if len(tables.edges) != action_size:
        raise TransferError(f"a tokenizer for {len(tables.edges)} action numbers, the environment takes {action_size}.")
    if abs(tables.centers).max() > 1:
        raise TransferError("the tokenizer was fitted on actions beyond -1 and 1: fit it on scaled ones.")
    return Bins(tables)
