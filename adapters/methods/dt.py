"""The Decision Transformer (Chen et al. 2021), with the layouts of the tokenized-action paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.adapters.conditions.returns import ReturnGroup
from transfer.data.windows import WindowSpec
from transfer.decoding.command import ReturnToGo, return_asked
from transfer.models.steps.group import Condition
from transfer.models.steps.method import AskedModel, Method


class DT(Method):
    r"""Actions, on the return to go.

    step t:     R        s        a^0 ...  a^{n-1}     (n = 1 for whole actions, A for spread ones)
    predicts:            a^0      a^1 ...
    """

    groups = ("return", "state", "action")
    windows = WindowSpec(columns=("returns",))

    def conditions(self) -> dict[str, Condition]:
        """The return to go."""
        return {"return": ReturnGroup("return")}

    def asked(self, model: AskedModel, ask: Mapping[str, Any]) -> dict[str, float]:
        """The raw return to go at the start; default: the calibration's best, else the dataset's 95th percentile."""
        return return_asked(model.statistics, ask)

    def command(self, model: AskedModel, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> ReturnToGo:
        """Counts the return down."""
        return ReturnToGo(asked, len(seeds))
