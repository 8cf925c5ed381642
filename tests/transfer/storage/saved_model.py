"""A model in a folder: saved, loaded, and acting."""

from pathlib import Path

import numpy as np

from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk

SavedModel = tuple[TransferModel, Path]


def save(model: TransferModel, folder: Path) -> SavedModel:
    model.trunk.save(folder / "trunk")
    model.adapter.save(folder / "adapter")
    return model, folder


def load(folder: Path) -> TransferModel:
    trunk = Trunk.load(folder / "trunk")
    return TransferModel(trunk, Adapter.load(folder / "adapter", trunk))


def act(model: TransferModel) -> np.ndarray:
    """Actions (8, A) of a policy that sees eight invented observations."""
    policy, rng = model.policy(), np.random.default_rng(0)
    rewards = [None, *rng.uniform(0, 3, 7).tolist()]
    return np.stack([policy.act(rng.normal(size=model.env_spec.state_size), reward) for reward in rewards])
