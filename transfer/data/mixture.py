"""Weights of joined datasets: the share of the windows that each of them gets.

Letters: N steps altogether, E episodes, P datasets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer.errors import TransferError
from transfer.numbers import real, seen


@dataclass(frozen=True, eq=False)
class Mixture:
    """Which dataset each episode is of, and the share of each dataset.

    Attributes:
        of: (E,) int64, number of the dataset of each episode.
        shares: (P,) float64, their sum is 1.
        names: of the datasets, for messages.
    """

    of: NDArray[np.int64]
    shares: NDArray[np.float64]
    names: tuple[str, ...]

    def pick(self, episodes: NDArray[np.int64]) -> Mixture:
        """That of some of the episodes, by their numbers; every dataset keeps its share."""
        return Mixture(self.of[episodes], self.shares, self.names)

    def chances(self, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N,) the chance that a window begins at this step or an earlier one, of episodes of some lengths (E,).

        The steps of a dataset are equally likely.

        Raises:
            TransferError: a dataset with a share has no episode left.
        """
        steps = np.bincount(self.of, lengths, len(self.shares))
        for number in np.flatnonzero((steps == 0) & (self.shares > 0)):
            raise TransferError(
                f"the weights give {self.names[number]} {self.shares[number]:.0%} of the windows, and none of its "
                "episodes is left behind the filter and the number of episodes. Take more, or set its weight to 0."
            )
        each = self.shares / np.maximum(steps, 1)  # (P,) chance of one of its steps
        summed = np.cumsum(np.repeat(each[self.of], lengths))
        return np.asarray(summed / summed[-1])

    def digest(self) -> str:
        """Sha256 of what decides the draws."""
        return hashlib.sha256(self.of.tobytes() + self.shares.tobytes()).hexdigest()


def shares_of(weights: Sequence[float], count: int, what: str = "weights") -> NDArray[np.float64]:
    """The shares (P,) of some datasets by their weights.

    Raises:
        TransferError: another number of weights than of datasets, one that is no number or is negative, or all zero.
    """
    if not isinstance(weights, list | tuple | np.ndarray) or len(weights) != count:
        raise TransferError(f"{what}: one number for each of {count} datasets is needed, got {seen(weights)}.")
    values = np.array([real(weight, what, 0.0) for weight in weights])
    if not values.any():
        raise TransferError(f"{what} are all zero: give one of the datasets a weight above 0.")
    return np.asarray(values / values.max() / (values / values.max()).sum())  # no sum of two large numbers overflows


def mixed(
    parts: Sequence[tuple[Mixture | None, int, str]], weights: Sequence[float] | None, what: str = "weights"
) -> Mixture | None:
    """That of joined episodes: each part's own mixture, number of episodes and name; None where nothing has weights.

    Raises:
        TransferError: weights that do not fit, or none where a part has its own.
    """
    if weights is None:
        if any(own is not None for own, _, _ in parts):
            raise TransferError(f"a part is joined with weights of its own already: give {what} for the parts too.")
        return None
    of, shares, names = [], [], list[str]()
    for (own, episodes, name), share in zip(parts, shares_of(weights, len(parts), what), strict=True):
        inner = Mixture(np.zeros(episodes, np.int64), np.ones(1), (name,)) if own is None else own
        of.append(inner.of + len(names))
        shares.append(inner.shares * share)
        names += inner.names
    return Mixture(np.concatenate(of), np.concatenate(shares), tuple(names))
