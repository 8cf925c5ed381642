"""The tokenizer ceiling, on real MuJoCo."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer.envs.loading import load_episodes
from transfer.errors import TransferError
from transfer.recipes.ceiling.ceiling import ceiling
from transfer.recipes.ceiling.ceiling_plot import save_ceiling
from transfer.recipes.ceiling.ceiling_report import CeilingReport
from transfer.recipes.ceiling.ceiling_text import page, write
from transfer.recipes.ceiling.recordings import _success, recordings
from transfer.recipes.ceiling.replay import restore

Make = Callable[..., str]


@pytest.fixture(scope="module")
def hopper(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> CeilingReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_data))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return ceiling("hopper/medium-expert", bins=(64, 4), episodes=2)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """make("AdroitHandPen-v1", 3, seeds=..., infos=...) -> the id of a dataset of random actions."""
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    from transfer.data.environment.building.trust import registered
    from transfer.runtime.logs import quiet

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def episode(env: Any, seed: int, stored: int | None, infos: bool, steps: int) -> EpisodeBuffer:
        observations, rewards = [env.reset(seed=seed)[0]], []
        state = env.unwrapped.get_env_state() if infos else {}
        success = {"success": np.zeros(steps + 1, bool)} if infos else {}
        rng = np.random.default_rng(seed)
        actions = rng.uniform(-1, 1, (steps, *env.action_space.shape)).clip(-0.8, 0.8).astype(np.float32)
        for action in actions:
            observation, reward, *_ = env.step(action)
            observations.append(observation)
            rewards.append(reward)
        if isinstance(observations[0], dict):
            observations = {key: np.stack([one[key] for one in observations]) for key in observations[0]}
        return EpisodeBuffer(
            seed=stored,
            observations=observations if isinstance(observations, dict) else np.array(observations),
            actions=actions,
            rewards=np.array(rewards),
            terminations=np.zeros(steps, bool),
            truncations=np.arange(steps) == steps - 1,
            infos={name: np.tile(value, (steps + 1, 1)) for name, value in state.items()} | success,
        )

    def dataset(gym_id: str, stored: list[int | None], infos: bool = False, steps: int = 12) -> str:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what Minari would like to know of the author
            env = gymnasium.make(registered(gym_id))
            buffers = [episode(env, 10 + i, seed, infos, steps) for i, seed in enumerate(stored)]
            minari.create_dataset_from_buffers("test/random-v0", buffers, env=env)
        env.close()
        return "test/random-v0"

    return dataset


def test_raw_actions_earn_what_the_data_say(hopper: CeilingReport) -> None:
    raw = hopper.replayed
    assert hopper.episodes == 2 and not hopper.skipped
    assert raw.mean_return == pytest.approx(hopper.dataset.mean_return, rel=1e-6)
    # over the data's length, although evaluations in this environment are cut after 20 steps
    assert raw.mean_length == hopper.dataset.mean_length > 20
    assert raw.held_score == pytest.approx(raw.score, abs=1e-3) and raw.lost == raw.held_lost == 0


def test_more_bins_have_smaller_errors_and_lose_less(hopper: CeilingReport) -> None:
    assert [(row.tokenizer, row.bins) for row in hopper.rows] == [
        (kind, bins) for kind in ("quantile", "uniform", "mu-law") for bins in (4, 64)
    ]
    for kind in range(3):
        rows = hopper.rows[2 * kind : 2 * kind + 2]
        assert rows[0].mean_error > 8 * rows[1].mean_error and rows[0].max_error > rows[1].max_error
    few, many = ([row for row in hopper.rows if row.bins == bins] for bins in (4, 64))
    assert np.mean([row.lost for row in many]) <= np.mean([row.lost for row in few])
    assert np.mean([abs(row.held_lost) for row in many]) < np.mean([abs(row.held_lost) for row in few])


def test_the_errors_are_those_of_all_actions(hopper: CeilingReport, tiny_data: Path, monkeypatch: Any) -> None:
    from transfer.adapters.tokenizers.tokenizer import make_tokenizer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_data))
    actions = load_episodes("hopper/medium-expert").actions
    expected = make_tokenizer("quantile", 4).fit(actions).report(actions)
    row = hopper.rows[0]
    assert row.mean_error == pytest.approx(np.mean(expected["mae"]), rel=1e-5)
    assert row.max_error == pytest.approx(max(expected["max_error"]), rel=1e-5)
    assert row.used_bins == np.mean(expected["n_used"])


def test_json_restores_an_equal_report(hopper: CeilingReport) -> None:
    stored = json.loads(json.dumps(hopper.to_json(), allow_nan=False))
    assert CeilingReport.from_json(stored, "ceiling.json") == hopper
    with pytest.raises(TransferError, match="no rows"):
        CeilingReport.from_json({key: value for key, value in stored.items() if key != "rows"}, "ceiling.json")


def test_files_are_written(hopper: CeilingReport, tmp_path: Path) -> None:
    path = write(hopper, tmp_path / "new")
    assert sorted(one.name for one in path.parent.iterdir()) == [
        f"ceiling.{end}" for end in ("csv", "json", "md", "png")
    ]
    assert (path.parent / "ceiling.png").read_bytes().startswith(b"\x89PNG")
    assert (path.parent / "ceiling.csv").read_text(encoding="utf-8").count("\n") == 1 + 2 + 6
    text = path.read_text(encoding="utf-8")
    assert text.count("\n|") == 2 + 2 + 6 and "2 episodes replayed in Hopper-v5" in text and "table D4RL" in text


def test_a_report_without_held_scores_has_no_column_and_no_panel_for_them(
    hopper: CeilingReport, tmp_path: Path
) -> None:
    bare = [replace(row, held_score=None, held_lost=None, held_error=None) for row in (hopper.replayed, *hopper.rows)]
    report = replace(hopper, replayed=bare[0], rows=tuple(bare[1:]))
    assert "| held" not in page(report) and "Held" not in page(report)
    save_ceiling(tmp_path / "bare.png", report)
    save_ceiling(tmp_path / "both.png", hopper)
    assert (tmp_path / "bare.png").stat().st_size < (tmp_path / "both.png").stat().st_size


def test_what_is_lost_beyond_its_error_is_judged(hopper: CeilingReport) -> None:
    def judged(**changes: float | None) -> str:
        return page(replace(hopper, rows=tuple(replace(row, **changes) for row in hopper.rows[:1])))

    assert "Good, at most 1 point lost even in open loop: quantile 4." in judged(
        lost=0.5, lost_error=0.2, held_lost=0.1, held_error=0.1
    )
    assert "Doubtful, more than 1 point lost even when held: quantile 4." in judged(held_lost=3.0, held_error=0.9)
    unsure = judged(lost=0.5, lost_error=0.9, held_lost=3.0, held_error=1.1)
    assert "Good" not in unsure and "Doubtful" not in unsure and "only training can tell" in unsure


def test_another_physics_is_said(hopper: CeilingReport) -> None:
    assert "physics" not in page(hopper)
    assert "other versions of the physics" in page(replace(hopper, dataset=replace(hopper.dataset, score=90.0)))


def test_adroit_reports_success_and_skips_what_starts_elsewhere(make: Make) -> None:
    done: list[tuple[int, int]] = []
    report = ceiling(
        make("AdroitHandPen-v1", [10, 99, None]), (8,), ("quantile",), on_progress=lambda *call: done.append(call)
    )
    assert report.episodes == 1 and sum(report.skipped.values()) == 2 and len(report.skipped) == 2
    assert report.replayed.mean_return == pytest.approx(report.dataset.mean_return, rel=1e-6)
    assert report.replayed.success == 0.0 and report.rows[0].success is not None
    assert report.dataset.success is None  # the infos do not hold it
    assert report.replayed.lost_error is None  # one episode has no spread
    assert "| success |" in page(report) and "Skipped" in page(report)
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_success_is_read_under_all_names_in_use() -> None:
    stored = {"success": [0, 0], "is_success": [0.0, 1.0], "task_success": [np.nan, 0.5]}
    assert [_success({name: np.array(values)}) for name, values in stored.items()] == [False, True, False]
    assert _success({"qpos": np.zeros(3)}) is None and _success({name: np.array(v) for name, v in stored.items()})


def test_no_episode_that_starts_here_is_an_error(make: Make) -> None:
    with pytest.raises(TransferError, match=r"none of the 2 chosen starts here.*seed leads to another start"):
        ceiling(make("AdroitHandPen-v1", [98, 99]), (8,))


@pytest.mark.parametrize("gym_id", ["AdroitHandRelocate-v1", "AdroitHandHammer-v1"])
def test_a_state_in_the_infos_replaces_the_seed(make: Make, gym_id: str) -> None:
    report = ceiling(make(gym_id, [None, 99], infos=True), (64,), ("uniform",))
    assert report.episodes == 2 and not report.skipped
    assert report.replayed.mean_return == pytest.approx(report.dataset.mean_return, rel=1e-4)
    assert report.dataset.success == 0.0


def test_a_dict_observation_is_replayed_in_the_maze_that_recorded_it(make: Make) -> None:
    name = make("AntMaze_UMaze-v4", [10, 11])
    chosen = recordings(load_episodes(name), 20)
    assert len(chosen) == 2  # all, as there are fewer than asked for
    env = chosen[0].spec.make()
    assert [restore(env, one) for one in chosen] == ["", ""]
    assert restore(env, replace(chosen[0], seed=12)) == "the seed leads to another start here"
    qpos, qvel = np.array(env.unwrapped.data.qpos), np.array(env.unwrapped.data.qvel)
    stored = {"qpos": qpos, "qvel": qvel, "goal": np.array(env.unwrapped.goal)}
    here = replace(chosen[0], seed=None, infos=stored)
    here = replace(here, first=env.reset(seed=12)[0])
    env.reset(seed=13)
    assert restore(env, here) == ""
    env.close()


def test_episodes_are_spread_evenly(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_data))
    episodes = load_episodes("hopper/medium-expert")
    ends = [recordings(episodes, 2)[i].returned for i in (0, 1)]
    assert ends == [episodes.returns[0], episodes.returns[-1]]
    assert len(recordings(episodes, 1)) == 1 and len(recordings(episodes, 1000)) == episodes.num_episodes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bins": ()}, "needs bins"),
        ({"bins": (1,)}, "bins=1 is too small: at least 2"),
        ({"tokenizers": ("quantil",)}, "Did you mean 'quantile'"),
        ({"episodes": 0}, "at least 1 episode"),
    ],
)
def test_nothing_to_try_is_an_error(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_data))
    with pytest.raises(TransferError, match=words):
        ceiling("hopper/medium-expert", **changes)
