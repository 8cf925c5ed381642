"""Behavioural cloning: actions from the past alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transfer.errors import TransferError
from transfer.models.acting import Step
from transfer.models.steps.method import AskedModel, Method


class BC(Method):
    r"""Actions, on nothing.

        step t:     s        a^0 ...  a^{n-1}
        predicts:   a^0      a^1 ...

    With the filter "best-episodes" it is %BC (Chen et al. 2021, section 5.1).
    """

    groups = ("state", "action")

    def asked(self, model: AskedModel, ask: Mapping[str, Any]) -> dict[str, float]:
        """Nothing. Raises TransferError for anything."""
        for name in ask:
            raise TransferError(
                f"the method 'bc' takes no {name}: it clones the data whatever is asked for. Leave it out, or train "
                "with a method that takes one, as 'dt'."
            )
        return {}

    def command(self, model: AskedModel, seeds: NDArray[np.int64], asked: Mapping[str, float]) -> Nothing:
        """Says nothing."""
        return Nothing()


class Nothing:
    """The command of a policy that is asked for nothing."""

    def columns(self, step: Step) -> dict[str, Tensor]:
        """None."""
        return {}

    def select(self, rows: Tensor) -> None:
        """Keep some episodes; no state to reorder."""
