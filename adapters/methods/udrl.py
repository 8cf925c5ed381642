"""Upside-down reinforcement learning (Schmidhuber 2019, 1912.02875; Srivastava et al. 2019, 1912.02877)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer.adapters.conditions.horizon import HorizonGroup
from transfer.adapters.conditions.returns import ReturnGroup
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSpec
from transfer.decoding.command import ReturnToGo, return_asked
from transfer.errors import unknown
from transfer.models.acting import Step
from transfer.models.steps.group import Condition
from transfer.models.steps.method import AskedModel, Method
from transfer.numbers import MOST_STEPS, real

ALIKE = 0.1  # episodes whose return is that near to another one, as a share of it, are alike
KEPT = 200  # pairs of return and length that an adapter keeps


class UDRL(Method):
    r"""Actions, on a return and a horizon: "earn so much in so many steps". Both are counted down.

    step t:     R        h        s        a^0 ...  a^{n-1}
    predicts:                     a^0      a^1 ...
    """

    groups = ("return", "horizon", "state", "action")
    windows = WindowSpec(columns=("returns", "horizon"))
    extras = ("lengths",)

    def conditions(self) -> dict[str, Condition]:
        """Return and horizon."""
        return {"return": ReturnGroup("return"), "horizon": HorizonGroup("horizon")}

    def fit(self, episodes: Episodes) -> dict[str, dict[str, Any]]:
        """The lengths of the dataset's episodes by their returns."""
        return {"lengths": lengths_by_return(episodes)}

    def make(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The table of `fit` as a module."""
        return Lengths(**arguments)

    def asked(self, model: AskedModel, ask: Mapping[str, Any]) -> dict[str, float]:
        """A raw return, as of `dt`, and a horizon in steps.

        The default horizon is the mean length of the dataset's episodes whose return is within 10 % of the asked one.
        """
        for name in ask:
            if name not in ("return", "horizon"):
                raise unknown("thing to ask for", name, ["return", "horizon"])
        found = return_asked(model.statistics, {name: value for name, value in ask.items() if name == "return"})
        horizon = ask.get("horizon")
        if horizon is None or horizon == "auto":
            lengths = model.extras["lengths"]
            assert isinstance(lengths, Lengths)
            horizon = lengths.of(found["return"])
        return {**found, "horizon": real(horizon, "horizon", least=1, most=MOST_STEPS)}

    def command(self, model: AskedModel, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Countdown:
        """Counts both down."""
        return Countdown(asked, len(seeds))


class Countdown(ReturnToGo):
    """The return and the steps that are left; at least one step."""

    def __init__(self, asked: Mapping[str, float], episodes: int) -> None:
        super().__init__(asked, episodes)
        self.horizon = asked["horizon"]

    def columns(self, step: Step) -> dict[str, Tensor]:
        """Return to go and horizon, (E,) each."""
        left = (self.horizon - step.times).clamp(min=1).float()
        return {**super().columns(step), "horizon": left}


class Lengths(nn.Module):
    """Lengths of episodes by their returns, ascending, as buffers of an adapter.

    Args:
        returns, lengths: (K,) each; of many episodes, means of neighbours.
        counts: (K,) how many episodes each stands for; default: one.
    """

    returns: Tensor
    lengths: Tensor
    counts: Tensor

    def __init__(self, returns: list[float], lengths: list[float], counts: list[int] | None = None) -> None:
        super().__init__()
        own = [1] * len(lengths) if counts is None else counts
        self.register_buffer("counts", torch.from_numpy(np.array(own, np.int64)))
        self.register_buffer("returns", torch.from_numpy(np.array(returns, np.float32)))
        self.register_buffer("lengths", torch.from_numpy(np.array(lengths, np.float32)))

    def arguments(self) -> dict[str, Any]:
        """The lists."""
        return {name: getattr(self, name).tolist() for name in ("returns", "lengths", "counts")}

    def of(self, target: float) -> float:
        """The mean length of the episodes whose return is alike, else of the nearest one."""
        gaps = (self.returns.cpu().double() - target).abs()
        alike = gaps <= max(ALIKE * abs(target), float(gaps.min()))
        lengths, counts = self.lengths.cpu()[alike], self.counts.cpu()[alike]
        return max(1.0, float((lengths * counts).sum() / counts.sum()))


def lengths_by_return(episodes: Episodes) -> dict[str, list[Any]]:
    """Returns and lengths of whole episodes, ascending by return: each, or means of neighbours where there are many."""
    episodes = episodes.whole
    order = np.argsort(episodes.returns, kind="stable")
    pieces = np.array_split(order, min(KEPT, len(order)))
    return {
        "returns": [float(np.float32(episodes.returns[piece].mean())) for piece in pieces],
        "lengths": [float(np.float32(episodes.lengths[piece].mean())) for piece in pieces],
        "counts": [len(piece) for piece in pieces],
    }
