"""A fitted tokenizer of scaled actions, applied to actions in the environment's own bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from transfer.models.steps.scales import ActionRange

if TYPE_CHECKING:
    from transfer.adapters.tokenizers.tokenizer import Tokenizer


class Vocabulary(NamedTuple):
    """What tokens make of an environment's actions.

    Attributes:
        tokenizer: fitted on scaled actions.
        scale: between the environment's actions and scaled ones, on the CPU.
    """

    tokenizer: Tokenizer
    scale: ActionRange

    def decoded(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The environment's actions (N, A) -> the actions (N, A) that their tokens stand for."""
        scaled = self.scale.inward(torch.from_numpy(np.array(actions, np.float32))).numpy()
        values = self.tokenizer.inverse_transform(self.tokenizer.transform(scaled))
        decoded: NDArray[np.float32] = self.scale.outward(torch.from_numpy(values)).numpy()
        return decoded
