"""Environments that are registered with a class or a function: all that one by text does, and what no file keeps."""

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from tests.toys import Toy
from transfer import Adapter, Episodes, Recorder, TrainConfig, TransferModel, TrunkConfig, adapt, evaluate, pretrain
from transfer.data.environment.spec import as_spec
from transfer.envs.loading import load_episodes
from transfer.envs.writing.saving import save_dataset
from transfer.errors import NotAtHand, TransferError
from transfer.models.trunk import Trunk
from transfer.runtime.logs import warn_once

ID, TEXT = "TestCallable-v0", "tests.toys:Toy"
SIZES = {"state_size": 3, "action_size": 2, "low": -0.4, "high": 0.4}
SMALL = TrunkConfig(width=16, depth=1, heads=2, dropout=0.0)
SHORT = TrainConfig(steps=2, batch_size=4, context=4, log_every=1, save_every=2)


class Mine(Toy):
    """A class beside the code that registers it."""


def make_toy(**sizes: Any) -> Toy:
    return Toy(**sizes)


def make_for(goal: type, **sizes: Any) -> Toy:
    """A toy whose maker takes what no file can hold."""
    assert goal is Toy
    return Toy(**sizes)


# An entry point and the text that finds it, where there is one.
CALLABLES: dict[str, tuple[Any, str]] = {
    "a class": (Toy, TEXT),
    "a class of this file": (Mine, f"{__name__}:Mine"),
    "a function": (make_toy, f"{__name__}:make_toy"),
    "a function without a name": (lambda **sizes: Toy(**sizes), "module:Name"),
}
each = pytest.mark.parametrize(("entry_point", "text"), CALLABLES.values(), ids=CALLABLES)
Register = Callable[..., None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Register]:
    """register(entry_point): `ID` anew; datasets are in a folder of the test's own."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    warn_once.cache_clear()

    def registered(entry_point: Any, **more: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an id that is there
            gymnasium.register(ID, entry_point, max_episode_steps=6, kwargs={**SIZES, **more})

    yield registered
    gymnasium.registry.pop(ID, None)


def recorded() -> Recorder:
    """Four episodes of random actions."""
    env = Recorder(gymnasium.make(ID))
    env.action_space.seed(0)
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(6):
            env.step(env.action_space.sample())
    return env


def trained(data: Episodes) -> tuple[Trunk, TransferModel]:
    trunk = pretrain(data, config=SHORT, trunk_config=SMALL, seed=1).trunk
    model = adapt(trunk, data, "embeddings", config=SHORT, seed=2).model
    assert isinstance(model, TransferModel)
    return trunk, model


@each
def test_data_are_recorded_saved_and_loaded(entry_point: Any, text: str, register: Register) -> None:
    register(entry_point)
    env = recorded()
    save_dataset(env, "mine/callable-v0")
    data = load_episodes("mine/callable-v0")
    np.testing.assert_array_equal(data.actions, env.episodes().actions)
    assert len(data) == 4 and data.env_spec.gym_id == ID
    np.testing.assert_allclose(data.env_spec.action_high, [0.4, 0.4], rtol=1e-6)
    for given in (ID, gymnasium.spec(ID), gymnasium.make(ID)):
        other = Episodes.from_arrays(data.states, data.actions, data.rewards, [6] * 4, given)
        assert other.env_spec.gym_spec == data.env_spec.gym_spec


@each
def test_a_model_learns_and_plays_as_in_one_that_is_registered_by_text(
    entry_point: Any, text: str, register: Register
) -> None:
    found = []
    for one in (entry_point, TEXT):
        register(one)
        model = trained(recorded().episodes())[1]
        own = evaluate(model, num_episodes=3)
        given = evaluate(model, gymnasium.make(ID), num_episodes=3)
        np.testing.assert_array_equal(given.returns, own.returns)
        found.append(own.returns)
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].std() > 0


@each
def test_what_no_file_keeps_is_said_when_saving(
    entry_point: Any, text: str, register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(entry_point)
    env = recorded()
    model = trained(env.episodes())[1]
    mlp: Any = adapt(None, env.episodes(), "mlp", config=SHORT, trunk_config=SMALL).model
    saves: list[Callable[[], Any]] = [
        lambda: model.adapter.save(tmp_path / "adapter"),
        lambda: mlp.save(tmp_path / "mlp"),
        lambda: save_dataset(env, "mine/callable-v0"),
    ]
    for save in saves:
        warn_once.cache_clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            save()
        (line,) = caplog.messages
        assert f"the environment {ID} is saved by its id, without what it is registered with, " in line
        assert "Another process has to register the same id" in line
        assert line.endswith(f"register the id by a text \"module:Name\": entry_point='{text}'.")


@each
def test_a_checkpoint_plays_where_its_id_is_registered_again(
    entry_point: Any, text: str, register: Register, tmp_path: Path
) -> None:
    register(entry_point)
    trunk, model = trained(recorded().episodes())
    before = evaluate(model, num_episodes=2).returns
    model.adapter.save(tmp_path / "adapter")
    gymnasium.registry.pop(ID)
    again = TransferModel(trunk, Adapter.load(tmp_path / "adapter", trunk))
    with pytest.raises(NotAtHand, match=f"no environment '{ID}' is registered here.*--import MODULE"):
        evaluate(again, num_episodes=2)
    register(TEXT)
    np.testing.assert_array_equal(evaluate(again, num_episodes=2).returns, before)


def test_nothing_is_said_of_environments_that_a_file_describes(
    register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(TEXT)
    model = trained(recorded().episodes())[1]
    model.adapter.save(tmp_path / "text")
    gymnasium.registry.pop(ID)
    model.adapter.save(tmp_path / "not at hand")
    assert "is saved by its id" not in caplog.text


def test_an_argument_that_no_file_keeps_is_said_with_its_value(
    register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(f"{__name__}:make_for", goal=Toy)
    model = trained(recorded().episodes())[1]
    model.adapter.save(tmp_path / "adapter")
    (line,) = [one for one in caplog.messages if "is saved by its id" in one]
    assert "without goal=<class 'tests.toys.Toy'>: no file can hold" in line and "registered with" not in line
    assert line.endswith("an entry_point that builds it without such arguments.")


@pytest.mark.parametrize("other", [Mine, make_toy], ids=["a class", "a function"])
def test_another_class_than_the_registered_one_is_not_taken_for_it(other: Any, register: Register) -> None:
    spec = EnvSpec(ID, other, kwargs=SIZES)
    for known in (TEXT, Toy, lambda **sizes: Toy(**sizes)):
        register(known)
        with pytest.raises(TransferError, match=f"the entry point of '{ID}' is .*, but the id is registered with "):
            as_spec(spec)
    register(other)
    assert as_spec(spec).action_size == 2
