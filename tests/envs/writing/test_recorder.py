"""Recording in a user's loop and saving: the recorded values are exact, datasets complete or absent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import torch

from tests import point
from transfer import Episodes, Recorder, TrainConfig, adapt, evaluate, load_episodes, save_dataset
from transfer.envs.checks.doctor import check_dataset
from transfer.errors import TransferError

ID = "mine/pendulum-v0"


def play(env: Any, lengths: tuple[int, ...] = (5, 3), seed: int = 0) -> list[dict[str, Any]]:
    """Plays episodes that the next reset truncates. Returns the observations."""
    rng, seen = np.random.default_rng(seed), []
    for episode, steps in enumerate(lengths):
        shown, actions, rewards = [env.reset(seed=episode)[0]], [], []
        for _ in range(steps):
            actions.append(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
            observation, reward, *_ = env.step(actions[-1].copy())
            shown.append(observation)
            rewards.append(float(reward))
        seen.append({"observations": shown, "actions": np.stack(actions), "rewards": rewards})
    return seen


@pytest.fixture
def pendulum() -> Iterator[Recorder]:
    env = Recorder(gymnasium.make("Pendulum-v1"))
    yield env
    env.close()


def test_episodes_hold_what_was_seen(pendulum: Recorder) -> None:
    seen = play(pendulum)
    episodes = pendulum.episodes("mine")
    assert repr(episodes).startswith("Episodes('mine': 2 episodes, 8 steps, S=3, A=1")
    assert episodes.env_spec.gym_id == "Pendulum-v1" and episodes.env_spec.action_high == (2.0,)
    for one, told in zip(episodes, seen, strict=True):
        np.testing.assert_array_equal(one.states, told["observations"][:-1])
        np.testing.assert_array_equal(one.actions, told["actions"])
        np.testing.assert_array_equal(one.rewards, np.array(told["rewards"], np.float32))


def test_what_is_saved_loads_back_equal_here_and_in_minari(pendulum: Recorder, home: Path) -> None:
    seen = play(pendulum, (5, 3, 200))
    assert save_dataset(pendulum, ID, description="swings") == ID
    episodes, mine = load_episodes(ID), pendulum.episodes()
    assert episodes.content_hash == mine.content_hash
    assert episodes.env_spec == mine.env_spec
    stored = minari.load_dataset(ID)
    assert (stored.total_episodes, stored.total_steps) == (3, 208)
    for one, told, steps in zip(stored.iterate_episodes(), seen, (5, 3, 200), strict=True):
        np.testing.assert_array_equal(one.observations, told["observations"])
        np.testing.assert_array_equal(one.actions, told["actions"])
        np.testing.assert_array_equal(one.rewards, told["rewards"])
        assert one.truncations.tolist() == [False] * (steps - 1) + [True] and not one.terminations.any()
    assert stored.recover_environment().spec.id == "Pendulum-v1"
    assert ID in minari.list_local_datasets()
    assert not check_dataset(ID).wrong
    assert stored.storage.metadata["description"] == "swings"
    assert list(stored.storage.get_episode_metadata([1]))[0]["seed"] == 1


def test_the_gathered_episodes_are_saved_too(pendulum: Recorder, home: Path) -> None:
    play(pendulum)
    episodes = pendulum.episodes()
    assert episodes.to_minari(ID) == ID
    again = load_episodes(ID)
    assert again.content_hash == episodes.content_hash and again.env_spec == episodes.env_spec
    assert load_episodes(minari.load_dataset(ID)).content_hash == episodes.content_hash


def test_a_dict_with_a_goal_comes_back_number_for_number(home: Path) -> None:
    point.register()
    env = Recorder(gymnasium.make(point.GYM_ID))
    seen = play(env, (point.STEPS, 4))
    recorded = env.episodes()
    save_dataset(env, "mine/point-v0")
    recorded.to_minari("mine/gathered-v0")
    for name in ("mine/point-v0", "mine/gathered-v0"):
        assert load_episodes(name).content_hash == recorded.content_hash
        assert load_episodes(name).env_spec == recorded.env_spec
    stored = minari.load_dataset("mine/point-v0")[0]
    for key, values in stored.observations.items():
        np.testing.assert_array_equal(values, [one[key] for one in seen[0]["observations"]])
    assert stored.infos["success"].shape == (point.STEPS + 1,)
    assert check_dataset("mine/point-v0").facts["success_rate"] is not None


class Counting(gymnasium.Env[Any, Any]):
    """Observations with integers beside real numbers."""

    def __init__(self, render_mode: str | None = None) -> None:
        whole = gymnasium.spaces.Box(0, 9, (2,), np.int64)
        real = gymnasium.spaces.Box(-9, 9, (1,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(counts=whole, place=real)
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.shown = {"counts": np.zeros(2, np.int64), "place": np.zeros(1)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        for values in self.shown.values():
            values[:] = 0
        return self.shown, {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.shown["counts"][:] += [1, 2]
        self.shown["place"][:] += action
        return self.shown, 1.0, False, False, {}


def test_whole_numbers_are_observations_too(home: Path) -> None:
    if "TestCounting-v0" not in gymnasium.registry:
        gymnasium.register("TestCounting-v0", Counting, max_episode_steps=4)
    env = Recorder(gymnasium.make("TestCounting-v0"))
    play(env, (4, 2))
    recorded = env.episodes()
    np.testing.assert_array_equal(recorded[0].states[:, :2], [[0, 0], [1, 2], [2, 4], [3, 6]])
    save_dataset(env, "mine/counting-v0")
    assert load_episodes("mine/counting-v0").content_hash == recorded.content_hash
    result = adapt(None, recorded, "mlp", config=TrainConfig(steps=2, context=2))
    assert evaluate(result.model, num_episodes=2).lengths.tolist() == [4, 4]


class Odd(gymnasium.Env[Any, Any]):
    """Returns one array that it changes in place, changes the action that it takes, and ends after three steps."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.shown = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.shown[:] = 0
        return self.shown, {}

    def step(self, action: Any) -> Any:
        self.shown += 1
        action *= 0
        return self.shown, torch.tensor([1.5]), bool(self.shown[0] == 3), False, {}


@pytest.fixture
def odd() -> Recorder:
    if "TestOdd-v0" not in gymnasium.registry:
        gymnasium.register("TestOdd-v0", Odd)
    return Recorder(gymnasium.make("TestOdd-v0", disable_env_checker=True))


def test_everything_recorded_is_a_copy(odd: Recorder) -> None:
    odd.reset()
    for value in (0.25, 0.5):
        odd.step(np.array([value], np.float32))
    episodes = odd.episodes()
    np.testing.assert_array_equal(episodes.states, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(episodes.actions, [[0.25], [0.5]])
    np.testing.assert_array_equal(episodes.rewards, [1.5, 1.5])


def test_episodes_end_where_they_end(odd: Recorder, home: Path) -> None:
    """A terminated episode, one truncated by a reset, one without a step, one that is running."""
    for steps in (3, 2, 0, 1):
        odd.reset()
        for _ in range(steps):
            odd.step(np.zeros(1, np.float32))
    assert odd.num_episodes == 3 and odd.episodes().lengths.tolist() == [3, 2, 1]
    save_dataset(odd, "mine/odd-v0")
    stored = list(minari.load_dataset("mine/odd-v0").iterate_episodes())
    assert [(bool(one.terminations[-1]), bool(one.truncations[-1])) for one in stored] == [
        (True, False), (False, True), (False, True),
    ]  # fmt: skip
    odd.step(np.zeros(1, np.float32))
    assert odd.episodes().lengths.tolist() == [3, 2, 2]
    odd.clear()
    assert odd.episodes().lengths.tolist() == [2]


def test_a_recorder_is_for_one_environment_of_vectors() -> None:
    for wrong, message in (
        ("Pendulum-v1", "takes one environment"),
        (gymnasium.make_vec("Pendulum-v1", num_envs=2), "takes one environment"),
        (gymnasium.make("CartPole-v1"), "Discrete"),
    ):
        with pytest.raises(TransferError, match=message):
            Recorder(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(2), "the action of step 1 of episode 0 has shape"),
        (0.5, "the action of step 1 of episode 0 must be 1-d"),
        ([np.nan], "the action of step 1 of episode 0 is not finite"),
        (["a"], "the action of step 1 of episode 0 .*text"),
    ],
)
def test_actions_that_are_none_are_refused_before_they_are_played(
    pendulum: Recorder, action: Any, message: str
) -> None:
    pendulum.reset(seed=0)
    with pytest.raises(TransferError, match=message):
        pendulum.step(action)
    assert pendulum.num_episodes == 0


@pytest.mark.parametrize("fault", [RuntimeError("boom"), KeyboardInterrupt(), float("nan")])
def test_an_episode_ends_where_a_step_failed(fault: Any, pendulum: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = pendulum.env.unwrapped
    step, taken = inside.step, []

    def failing(action: Any) -> Any:
        observation, reward, *rest = step(action)
        taken.append(observation)
        if len(taken) == 3 and isinstance(fault, BaseException):
            raise fault
        return observation, fault if len(taken) == 3 else reward, *rest

    monkeypatch.setattr(inside, "step", failing)
    first, _ = pendulum.reset(seed=0)
    action = np.zeros(1, np.float32)
    for _ in range(2):
        pendulum.step(action)
    with pytest.raises((RuntimeError, KeyboardInterrupt, TransferError)):
        pendulum.step(action)
    with pytest.raises(TransferError, match="reset first"):  # two steps of two different states would follow each other
        pendulum.step(action)
    pendulum.reset(seed=1)
    pendulum.step(action)
    episodes = pendulum.episodes()
    assert episodes.lengths.tolist() == [2, 1]
    np.testing.assert_array_equal(episodes[0].states, [first, taken[0]])


def test_what_no_file_can_hold_is_recorded_for_an_environment_that_is_named(home: Path) -> None:
    env = Recorder(gymnasium.wrappers.TransformReward(gymnasium.make("Pendulum-v1"), lambda reward: reward / 10))
    seen = play(env, (4,))
    with pytest.raises(TransferError, match="which no file can hold"):
        env.episodes()
    episodes = env.episodes("mine", env="Pendulum-v1")
    np.testing.assert_array_equal(episodes.rewards, np.array(seen[0]["rewards"], np.float32))
    episodes.to_minari(ID)
    assert load_episodes(ID).content_hash == episodes.content_hash


def test_nothing_recorded_is_said(pendulum: Recorder, home: Path) -> None:
    for asked in (pendulum.episodes, lambda: save_dataset(pendulum, ID)):
        with pytest.raises(TransferError, match="nothing was recorded yet"):
            asked()
    with pytest.raises(TransferError, match="has to be reset first"):
        pendulum.step(np.zeros(1))
    assert not (home / "datasets").exists()


@pytest.mark.parametrize(
    ("dataset_id", "options", "message"),
    [
        ("pendulum", {}, "'pendulum' is no id for a dataset"),
        ("../pendulum-v0", {}, "is no id for a dataset"),
        ("a/pendulum-v0", {}, "is no id for a dataset"),
        ("bundled/hopper/medium-v0", {}, "names data of this library or Minari"),
        ("mujoco/hopper/expert-v0", {}, "names data of this library or Minari"),
        (7, {}, "7 is no id for a dataset"),
        (None, {}, "None is no id for a dataset"),
        (ID, {"env": "Hopper-v5"}, "Hopper-v5 has 11"),
        (ID, {"env": "Nowhere-v0"}, "Nowhere"),
        (ID, {"overwrite": "yes"}, "overwrite="),
        (ID, {"description": 7}, "description must be text"),
    ],
)
@pytest.mark.parametrize("kind", ["recorder", "episodes"])
def test_what_cannot_be_saved_leaves_nothing(
    pendulum: Recorder, home: Path, kind: str, dataset_id: Any, options: dict[str, Any], message: str
) -> None:
    play(pendulum)
    with pytest.raises(TransferError, match=message):
        save_dataset(pendulum if kind == "recorder" else pendulum.episodes(), dataset_id, **options)
    assert not (home / "datasets").exists()


@pytest.mark.parametrize("wrong", [None, [], "mine", np.zeros((3, 2)), gymnasium])
def test_only_episodes_are_saved(wrong: Any) -> None:
    with pytest.raises(TransferError, match="only Episodes and a Recorder are saved"):
        save_dataset(wrong, ID)


def test_a_dataset_is_replaced_only_when_that_is_said_and_the_new_one_is_whole(
    pendulum: Recorder, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(pendulum)
    first = pendulum.episodes()
    save_dataset(pendulum, ID)
    play(pendulum, (7,), seed=1)
    with pytest.raises(TransferError, match=f"'{ID}' is there already. Replace it with overwrite=True"):
        save_dataset(pendulum, ID)

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(TransferError, match="No space left.*are as they were"):
        patch.setattr("transfer.envs.writing.minari_format.write_json", full)
        save_dataset(pendulum, ID, overwrite=True)
    assert load_episodes(ID).content_hash == first.content_hash
    save_dataset(pendulum, ID, overwrite=True)
    assert load_episodes(ID).content_hash == pendulum.episodes().content_hash != first.content_hash
    assert sorted(path.name for path in (home / "datasets").iterdir()) == ["mine"]


def test_episodes_of_an_environment_that_is_not_at_hand_are_saved(home: Path, make_away: Callable[[], None]) -> None:
    point.register()
    env = Recorder(gymnasium.make(point.GYM_ID))
    play(env, (6,))
    episodes = env.episodes()
    make_away()
    episodes.to_minari("mine/point-v0")
    again = load_episodes("mine/point-v0")
    assert again.content_hash == episodes.content_hash and again.env_spec.slices == episodes.env_spec.slices


@pytest.fixture
def make_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """make_away(): unregisters the point."""

    def away() -> None:
        monkeypatch.delitem(gymnasium.registry, point.GYM_ID)

    return away


def test_saving_needs_no_jax(pendulum: Recorder, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    play(pendulum)
    assert isinstance(load_episodes(save_dataset(pendulum, ID)), Episodes)
