"""The error of predicted actions on data that were not trained on."""

from __future__ import annotations

import numpy as np
import torch

from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.models.acting import PolicyModel
from transfer.runtime.process import inference_only

WINDOWS = 256  # at a time


@inference_only
def held_out_error(model: PolicyModel, episodes: Episodes) -> float:
    """Mean squared error of the actions that a model predicts from the data's past, over all steps and dimensions.

    Actions are scaled, -1 to 1, so an error means the same whatever the readout is. Every step counts once, in windows
    of the model's context that lie side by side. The model stays in the mode that it is in.

    Args:
        model: of the environment of the episodes.
        episodes: held out, see `transfer.data.splits.held_out`.
    """
    context = min(model.context, int(episodes.lengths.max()))
    sampler = WindowSampler(episodes, context, 1, device=model.device, spec=model.windows)
    step = np.arange(episodes.num_steps) - np.repeat(episodes.offsets[:-1], episodes.lengths)
    total, count = 0.0, 0
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for starts in torch.from_numpy(np.flatnonzero(step % context == 0)).split(WINDOWS):
        error = model.action_error(sampler.windows(starts))
        total, count = total + float(error.sum), count + int(error.count)
    for module, mode in modes.items():
        module.training = mode
    return total / count
