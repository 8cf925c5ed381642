"""Small data for the tests of the parts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds import config_of
from transfer.adapters.build import build_adapter
from transfer.adapters.tokenizers.quantile import QuantileTokenizer
from transfer.data.episodes import Episodes
from transfer.models.adapter import Adapter
from transfer.models.trunk import TrunkConfig

SIZES = {"Hopper-v5": (11, 3), "Walker2d-v5": (17, 6), "HalfCheetah-v5": (17, 6)}


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    """make_episodes("Hopper-v5", seed=0): random steps, some actions saturated, a state that never changes."""

    def make(env: str = "Hopper-v5", seed: int = 0, lengths: tuple[int, ...] = (19, 4, 25, 2)) -> Episodes:
        rng, steps = np.random.default_rng(seed), sum(lengths)
        state_size, action_size = SIZES[env]
        states = rng.normal(1.0, 2.0, (steps, state_size))
        states[:, 4] = 0.75
        actions = np.clip(rng.normal(0.0, 0.8, (steps, action_size)), -1, 1)
        return Episodes.from_arrays(states, actions, rng.uniform(0, 3, steps), lengths, env, name=f"test/{env}")

    return make


@pytest.fixture
def tokenizer() -> QuantileTokenizer:
    """Eight bins for three dimensions; the last one has three values only."""
    values = np.clip(np.random.default_rng(0).normal(0.0, 0.8, (500, 3)), -1, 1)
    values[:, 2] = np.round(values[:, 2])
    return QuantileTokenizer(8).fit(values)


@pytest.fixture
def build(make_episodes: Callable[..., Episodes]) -> Callable[..., Adapter]:
    """build("Walker2d-v5", seed=0, own=(), tuning=False, like=None, **kinds of parts)"""

    def build(env: str = "Hopper-v5", seed: int = 0, **options: Any) -> Adapter:
        extras = {name: options.pop(name) for name in ("own", "tuning", "like", "any_body") if name in options}
        trunk, config = TrunkConfig(width=16, depth=2, heads=2), config_of(**{"bins": 8, **options})
        return build_adapter(make_episodes(env), trunk, config, seed, **extras)

    return build


@pytest.fixture
def trained(build: Callable[..., Adapter]) -> Callable[..., Adapter]:
    """The same adapter with every parameter changed, as by training."""

    def train(*args: Any, **options: Any) -> Adapter:
        adapter = build(*args, **options)
        with torch.no_grad():
            for p in adapter.parameters():
                p += 1 + torch.rand(p.shape)
        return adapter

    return train
