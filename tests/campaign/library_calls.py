"""Calls that are right, made of the finished run; an argument that is given takes the place of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.arrays import numbers

RUN = Path("runs/good")


class Kit:
    """What calls are made with: built from the finished run, each when it is asked for."""

    @cached_property
    def trunk(self) -> Any:
        """The pretrained one."""
        from transfer import Trunk

        return Trunk.load(RUN / "trunk/0/trunk")

    @cached_property
    def adapter(self) -> Any:
        """Of Walker2d."""
        from transfer import Adapter

        return Adapter.load(RUN / "embeddings/0/adapter")

    @cached_property
    def source(self) -> Any:
        """Of Hopper."""
        from transfer import Adapter

        return Adapter.load(RUN / "trunk/0/adapter")

    @cached_property
    def model(self) -> Any:
        """Both together."""
        from transfer import TransferModel

        return TransferModel(self.trunk, self.adapter)

    @cached_property
    def mixed(self) -> Any:
        """Two bodies on one trunk."""
        from transfer import MixedModel

        return MixedModel(self.trunk, {"walker": self.adapter, "hopper": self.source})

    @cached_property
    def episodes(self) -> Any:
        """Made up, of Hopper's sizes."""
        from transfer import Episodes

        return Episodes.from_arrays(**numbers())

    @cached_property
    def tiny(self) -> Any:
        """A training of two steps."""
        from transfer import TrainConfig

        return TrainConfig(steps=2, batch_size=2, context=4, log_every=1, save_every=1)

    @cached_property
    def started(self) -> Any:
        """A policy that has acted once."""
        policy = self.model.policy()
        policy.act(np.zeros(17))
        return policy


def config(name: str) -> Callable[..., Any]:
    """A config dataclass of the library as a call."""

    def make(kit: Kit, **given: Any) -> Any:
        import transfer

        return getattr(transfer, name)(**given)

    return make


def options(part: str, kind: str) -> Callable[..., Any]:
    """A part of an adapter with options, as a call; the config as it is written to a file."""

    def make(kit: Kit, **given: Any) -> Any:
        from transfer import AdapterConfig

        return json.dumps(AdapterConfig(**{part: {"kind": kind, **given}}).to_json())

    return make


def returns(result: Any) -> list[float]:
    """Of an evaluation."""
    return result.returns.tolist()


def evaluate(kit: Kit, model: Any = None, **given: Any) -> Any:
    """Returns of two episodes."""
    from transfer import evaluate

    return returns(evaluate(kit.model if model is None else model, **{"num_episodes": 2, "num_envs": 2} | given))


def evaluate_together(kit: Kit, model: Any = None, **given: Any) -> Any:
    """Returns of two episodes of each."""
    from transfer import evaluate_together

    played = evaluate_together(kit.mixed if model is None else model, **{"num_episodes": 2, "num_envs": 2} | given)
    return {name: returns(one) for name, one in played.items()}


def calibrate(kit: Kit, model: Any = None, **given: Any) -> Any:
    """Target and achieved return."""
    from transfer import calibrate

    options = {"num_episodes": 1, "num_envs": 2, "targets": [2000.0]} | given
    return calibrate(kit.model if model is None else model, **options).to_json()


def adapt(kit: Kit, trunk: Any = None, episodes: Any = None, **given: Any) -> Any:
    """Fingerprint after two steps."""
    from transfer import adapt, fingerprint

    first, second = kit.trunk if trunk is None else trunk, kit.episodes if episodes is None else episodes
    return fingerprint(adapt(first, second, **{"config": kit.tiny} | given).adapter)


def pretrain(kit: Kit, episodes: Any = None, **given: Any) -> Any:
    """Fingerprint after two steps."""
    from transfer import TrunkConfig, fingerprint, pretrain

    sizes = TrunkConfig(width=16, depth=1, heads=2)
    given = {"config": kit.tiny, "trunk_config": sizes} | given
    return fingerprint(pretrain(kit.episodes if episodes is None else episodes, **given).trunk)


def sampler(kit: Kit, episodes: Any = None, **given: Any) -> Any:
    """States of the first batch."""
    from transfer import WindowSampler

    first = kit.episodes if episodes is None else episodes
    return WindowSampler(first, **{"context": 2, "batch_size": 2} | given).batch(0).states.tolist()


def policy(kit: Kit, **given: Any) -> Any:
    """Its first action."""
    return kit.model.policy(**given).act(np.zeros(17)).tolist()


def act(kit: Kit, **given: Any) -> Any:
    """The second action of an episode."""
    return kit.started.act(**{"observation": np.zeros(17), "reward": 1.0} | given).tolist()


def build(kit: Kit, episodes: Any = None, trunk: Any = None, **given: Any) -> Any:
    """Fingerprint of a fresh adapter."""
    from transfer import fingerprint
    from transfer.adapters.build import build_adapter

    first, second = kit.episodes if episodes is None else episodes, kit.trunk.config if trunk is None else trunk
    return fingerprint(build_adapter(first, second, **given))


def load(kit: Kit, **given: Any) -> Any:
    """Hash of what was loaded."""
    from transfer import load_episodes

    return load_episodes(**{"source": "own/hopper-v0"} | given).content_hash


def save_dataset(kit: Kit, episodes: Any = None, **given: Any) -> Any:
    """Hash of what was saved, when it is loaded again."""
    from transfer import load_episodes
    from transfer.envs.writing.saving import save_dataset

    first = kit.episodes if episodes is None else episodes
    return load_episodes(save_dataset(first, **{"dataset_id": "mine/hopper-v0"} | given)).content_hash


def scores(kit: Kit, **given: Any) -> Any:
    """A scale."""
    from transfer import ReferenceScores

    return ReferenceScores(**{"table": "mine", "minimum": 0.0, "maximum": 2.0} | given)


def put_together(kit: Kit, trunk: Any = None, adapter: Any = None) -> Any:
    """The model's context."""
    from transfer import TransferModel

    return TransferModel(kit.trunk if trunk is None else trunk, kit.adapter if adapter is None else adapter).context


def mix(kit: Kit, trunk: Any = None, adapters: Any = None) -> Any:
    """Names of the policies."""
    from transfer import MixedModel

    both = {"walker": kit.adapter, "hopper": kit.source}
    return list(MixedModel(kit.trunk if trunk is None else trunk, both if adapters is None else adapters).models)


def train_only(kit: Kit, model: Any = None, parts: Any = ("state", "action")) -> Any:
    """How many parameters train."""
    from transfer import train_only

    return train_only(kit.model if model is None else model, parts).parameters
