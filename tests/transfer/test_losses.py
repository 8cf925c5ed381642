"""The losses of the first 20 steps of every kind of training stay what they were, on any machine, to 1e-5.

After a change that is meant to change them: python -m tests.transfer.test_losses
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.hooks import Hooks
from tests.kinds import config_of
from tests.transfer.conftest import enliven
from transfer import Episodes, TrainConfig, TransferModel, TrunkConfig, WindowSampler, adapt, pretrain
from transfer.training.fit import fit

RECORDED = Path(__file__).with_name("losses.json")
ACTIONS = ("ActionEmbedding", "ActionTokenizedSpreadEmbedding")
SIZES = TrunkConfig(width=16, depth=2, heads=2)
STEPS, BATCH, CONTEXT = 20, 4, 5
Losses = list[float]


def episodes(env: str, state_size: int, action_size: int) -> Episodes:
    """Four short ones of random steps, some of their actions saturated."""
    rng, lengths = np.random.default_rng(state_size + action_size), (9, 4, 15, 2)
    states = rng.normal(1.0, 2.0, (sum(lengths), state_size))
    actions = np.clip(rng.normal(0.0, 0.8, (sum(lengths), action_size)), -1, 1)
    return Episodes.from_arrays(states, actions, rng.uniform(0, 3, sum(lengths)), lengths, env)


def training(steps: int = STEPS, state_noise: float = 0.0) -> TrainConfig:
    """Large steps, so that 20 of them move every part, and a report after each."""
    every = {"log_every": 1, "save_every": steps}
    return TrainConfig(steps, BATCH, lr=0.004, context=CONTEXT, state_noise=state_noise, **every)


def noted(losses: Losses) -> Hooks:
    """A callback that keeps the loss of each step."""
    return Hooks(log=lambda step, values: losses.append(values["train/loss"]))


def run_all() -> Iterator[tuple[str, Losses]]:
    """The name and the losses of every training."""
    for action in ACTIONS:
        yield from ((f"{action}: {name}", losses) for name, losses in run(action))
    losses: Losses = []
    walker = episodes("Walker2d-v5", 17, 6)
    adapt(None, walker, "mlp", config=training(), trunk_config=SIZES, seed=3, callbacks=[noted(losses)])
    yield "mlp", losses


def run(action: str) -> Iterator[tuple[str, Losses]]:
    """Pretraining, then every kind of adaptation, at last all parts of models with IA3 vectors.

    Weights are as large as after a long training: around fresh ones most mistakes change no loss by 1e-5.
    """
    hopper, walker = episodes("Hopper-v5", 11, 3), episodes("Walker2d-v5", 17, 6)
    kinds, noise = config_of(action, bins=8), 0.1 if action == ACTIONS[1] else 0.0
    first = pretrain(
        hopper, config=training(state_noise=noise), trunk_config=SIZES, adapter_config=kinds, seed=1,
        precision="float32", callbacks=[noted(losses := [])],
    )  # fmt: skip
    yield "pretraining", losses
    enliven(first.trunk, 0)
    for mode in ("embeddings", "embeddings+ia3", "full"):
        keeps = [noted(losses := [])]
        adapt(first.trunk, walker, mode, config=training(), seed=2, precision="float32", callbacks=keeps)
        yield mode, losses
    for name, mode in (("pretraining with IA3", "random-trunk:embeddings+ia3"), ("full with IA3", "embeddings+ia3")):
        model = adapt(first.trunk, walker, mode, config=training(steps=1), seed=4, precision="float32").model
        assert isinstance(model, TransferModel)
        model = copy.deepcopy(model)
        enliven(model.adapter, 1)
        yield name, everything(model, walker)


def everything(model: TransferModel, data: Episodes) -> Losses:
    """Train all parts of a model."""
    losses: Losses = []
    sampler = WindowSampler(data, CONTEXT, BATCH, seed=4)
    fit(model, sampler, training(), list(model.parts()), precision="float32", callbacks=[noted(losses)])
    return losses


def test_the_losses_of_twenty_steps_stay_the_same() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = dict(run_all())
    assert list(found) == list(recorded)
    for name, losses in found.items():
        assert len(losses) == STEPS
        assert losses == pytest.approx(recorded[name], rel=1e-5, abs=1e-5), name


if __name__ == "__main__":
    lines = (f"{json.dumps(name)}: {json.dumps([round(one, 8) for one in losses])}" for name, losses in run_all())
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
