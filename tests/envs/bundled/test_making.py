"""Bundled datasets: made in MuJoCo, repeatable, unbiased, never half-written."""

import logging
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.envs.conftest import forked
from transfer.envs.bundled.generate import NOISE, Behaviour, generate
from transfer.envs.bundled.making import make_dataset
from transfer.envs.dataset_ids import is_local, local_ids
from transfer.envs.loading import load_episodes
from transfer.envs.writing import staging
from transfer.envs.writing.minari_format import WholeEpisode
from transfer.errors import TransferError

NAMES = sorted(NOISE)


def roll(name: str, steps: int, seed: int = 0) -> list[WholeEpisode]:
    return generate(Behaviour.load(name), steps, seed, lambda done: None)


def equal(one: WholeEpisode, two: WholeEpisode) -> bool:
    return one.seed == two.seed and np.array_equal(one.observations, two.observations)


@pytest.mark.parametrize("name", NAMES)
def test_actions_replayed_in_gymnasium_give_the_same_episode(name: str) -> None:
    behaviour = Behaviour.load(name)
    episode = generate(behaviour, 1, 0, lambda done: None)[0]
    env = gymnasium.make(behaviour.gym_id)
    state, _ = env.reset(seed=episode.seed)
    states, rewards, over = [state], [], False
    for action in episode.actions:
        assert not over
        state, reward, terminated, truncated, _ = env.step(action)
        states.append(state)
        rewards.append(reward)
        over = terminated or truncated
    np.testing.assert_array_equal(episode.observations, states)
    np.testing.assert_array_equal(episode.rewards, rewards)
    assert over and terminated == episode.terminated
    env.close()


def test_actions_are_the_squashed_gaussian_of_the_readme() -> None:
    behaviour = Behaviour.load("hopper-medium")
    rng = np.random.default_rng(0)
    states, normal = rng.normal(size=(16, 11)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    w = {key: value.astype(np.float64) for key, value in behaviour.weights.items()}
    for state, noise, action in zip(states, normal, behaviour.act(states, normal), strict=True):
        hidden = np.maximum(np.maximum(state @ w["W0"] + w["b0"], 0) @ w["W1"] + w["b1"], 0)
        std = np.exp(np.clip(hidden @ w["log_std_W"] + w["log_std_b"], -20, 2))
        np.testing.assert_allclose(action, np.tanh(hidden @ w["W2"] + w["b2"] + 1.0 * std * noise), atol=1e-4)


def test_returns_are_those_of_the_readme() -> None:
    for name, low, high in (("hopper-expert", 2900, 3400), ("walker2d-expert", 4000, 4400)):
        returns = [episode.rewards.sum() for episode in roll(name, 2000)]
        assert low < np.mean(returns) < high, name


def test_the_same_seed_gives_the_same_episodes_and_another_seed_others() -> None:
    one, two, other = roll("walker2d-medium", 500), roll("walker2d-medium", 500), roll("walker2d-medium", 500, seed=1)
    assert all(equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(equal(a, b) for a, b in zip(one, other, strict=False))
    assert len({episode.seed for episode in one + other}) == len(one) + len(other)
    assert not equal(one[0], roll("walker2d-expert", 1)[0])


def test_episodes_are_kept_in_the_order_they_begin_not_the_order_they_end() -> None:
    # With 20 episodes and more, later ones begin in environments where earlier ones ended. If episodes were kept in the
    # order in which they end, a short dataset would differ from the beginning of a long one.
    many = roll("hopper-medium", 9000)
    assert len(many) > 16 and len({len(episode.rewards) for episode in many}) > 10
    few = roll("hopper-medium", 2500)
    assert 1 < len(few) < len(many)
    assert all(equal(a, b) for a, b in zip(few, many, strict=False))
    assert sum(len(episode.rewards) for episode in few[:-1]) < 2500 <= sum(len(episode.rewards) for episode in few)


def test_minari_reads_what_was_made(datasets: Path) -> None:
    import minari

    dataset = minari.load_dataset("bundled/hopper/expert-v0")
    assert dataset.total_steps >= 600
    for episode in dataset.iterate_episodes():
        assert episode.observations.shape == (len(episode.rewards) + 1, 11)
        assert (episode.terminations | episode.truncations).tolist() == [False] * (len(episode.rewards) - 1) + [True]
    assert dataset.recover_environment(eval_env=True).spec == gymnasium.make("Hopper-v5").spec
    assert set(minari.list_local_datasets()) == set(local_ids())


def test_progress_rises_to_the_total(home: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = make_dataset("hopper/medium-expert", steps=300, on_progress=lambda done, total: seen.append((done, total)))
    assert result == ("bundled/hopper/medium-v0", "bundled/hopper/expert-v0")
    assert result.made
    done = [one for one, _ in seen]
    assert {total for _, total in seen} == {600}
    assert done == sorted(done) and done[-1] == 600 and len(set(done)) > 2


def test_what_is_there_is_kept_unless_told_otherwise(datasets: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = datasets / "bundled/walker2d/medium-v0/data/main_data.hdf5"
    before = file.read_bytes()
    with caplog.at_level(logging.WARNING):
        result = make_dataset("walker2d/medium", steps=300, seed=5)
    assert (result, result.made) == (("bundled/walker2d/medium-v0",), False)
    assert file.read_bytes() == before
    assert "kept as it was made, with 600 steps of seed 0" in caplog.text

    assert make_dataset("walker2d/medium", steps=300, seed=5, overwrite=True).made
    assert file.read_bytes() != before
    assert 300 <= load_episodes("walker2d/medium").num_steps < 1300
    assert not list(datasets.glob(".making-*"))


def interrupt_after(steps: int) -> Callable[[int, int], None]:
    def on_progress(done: int, total: int) -> None:
        if done >= steps:
            raise KeyboardInterrupt

    return on_progress


# 0: in the first policy; 350: the first is done, the second is running.
@pytest.mark.parametrize("steps", [0, 350])
def test_an_interrupted_make_leaves_nothing(home: Path, steps: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_dataset("hopper/medium-expert", steps=300, on_progress=interrupt_after(steps))
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, 20_000])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_is_an_error_and_leaves_everything_as_it_was(
    size: int, overwrite: bool, home: Path, made: Path
) -> None:
    """In its own process, because HDF5 ends the process if it cannot write."""
    if overwrite:
        shutil.copytree(made, home / "datasets")
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    def make() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            make_dataset("hopper/expert", steps=50, overwrite=True)
        except TransferError as error:
            return str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return "no error"

    status, said = forked(make)
    assert status == 0
    assert "cannot write datasets to" in said and "File too large" in said and "are as they were" in said
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == files
    assert not list(home.rglob(".making-*"))


def end(*args: object, **options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def set_aside_and_end(*args: Any) -> None:
    staging.set_aside(*args)
    end()


def killed(name: str, where: str, how: Callable[..., None] = end) -> None:
    """Another process overwrites a dataset and is killed in a function of `transfer.envs`."""

    def make() -> str:
        pytest.MonkeyPatch().setattr(f"transfer.envs.{where}", how)
        make_dataset(name, steps=50, seed=3, overwrite=True)
        return ""

    assert forked(make)[0] == signal.SIGKILL


@pytest.mark.parametrize("where", ["writing.minari_format.write_json", "bundled.making.publish"])
def test_what_a_killed_make_left_goes_with_the_next_one(where: str, datasets: Path) -> None:
    before = load_episodes("hopper/expert").content_hash
    killed("hopper/expert", where)
    assert len(list(datasets.glob(".making-*"))) == 1
    assert load_episodes("hopper/expert").content_hash == before
    with staging.staged(datasets, ".making-") as living:  # of a running process
        make_dataset("walker2d/expert", steps=50)
        assert list(datasets.glob(".making-*")) == [living]


@pytest.mark.parametrize("look", [is_local, lambda name: name in local_ids()])
def test_a_dataset_whose_overwriting_was_killed_between_two_renames_is_back(
    look: Callable[[str], bool], datasets: Path
) -> None:
    before = load_episodes("hopper/expert").content_hash
    killed("hopper/expert", "writing.minari_format.set_aside", set_aside_and_end)
    assert not (datasets / "bundled/hopper/expert-v0").exists()
    assert look("bundled/hopper/expert-v0")
    assert load_episodes("hopper/expert").content_hash == before
    assert not list(datasets.glob(".making-*"))


def test_an_interrupted_overwrite_keeps_the_old_data(datasets: Path) -> None:
    before = load_episodes("hopper/medium-expert").content_hash
    with pytest.raises(KeyboardInterrupt):
        make_dataset("hopper/medium-expert", steps=300, seed=1, overwrite=True, on_progress=interrupt_after(350))
    assert load_episodes("hopper/medium-expert").content_hash == before
    assert not list(datasets.glob(".making-*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "hopper/expart"}, "unknown bundled dataset 'hopper/expart'. Did you mean 'hopper/expert'"),
        ({"name": "hopper/expert", "steps": 0}, "steps=0"),
        ({"name": "hopper/expert", "steps": 10**15}, "steps=1000000000000000 is too large"),
        ({"name": "hopper/expert", "steps": 2.5}, "steps=2.5"),
        ({"name": "hopper/expert", "seed": -1}, "seed=-1"),
        ({"name": None}, "unknown bundled dataset 'None'"),
    ],
)
def test_bad_requests_are_refused(home: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        make_dataset(**options)  # type: ignore[arg-type]
    assert list(home.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(home / "file" / "datasets"))
    with pytest.raises(TransferError, match="file/datasets.*MINARI_DATASETS_PATH"):
        make_dataset("hopper/medium", steps=50)


def test_a_dataset_comes_back_when_its_replacement_is_interrupted(
    datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = datasets / "bundled" / "hopper" / "expert-v0" / "data" / "main_data.hdf5"
    before, rename = file.read_bytes(), Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "0" and target.name == "expert-v0":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_dataset("hopper/expert", steps=50, overwrite=True)
    assert file.read_bytes() == before
    assert not list(datasets.glob(".making-*"))
