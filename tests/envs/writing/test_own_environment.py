"""An environment outside the catalog, with a goal in a Dict: loaded, trained on, evaluated, saved."""

from dataclasses import replace
from pathlib import Path

import gymnasium
import h5py
import numpy as np
import pytest

from tests import point
from transfer import Adapter, Policy, TrainConfig, TransferModel, evaluate, load_episodes, pretrain
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig

SLICES = [("observation", 2), ("goal", 2), ("position", 2)]


@pytest.fixture
def episodes(home: Path) -> Episodes:
    return load_episodes(point.collect("mine/point-v0"))


def test_goals_are_kept_relative_to_the_position(episodes: Episodes, home: Path) -> None:
    assert [(one.name, one.size) for one in episodes.env_spec.slices] == SLICES
    assert (episodes.env_spec.name, episodes.env_spec.reference.table) == (point.GYM_ID, "dataset")
    with h5py.File(home / "datasets" / "mine" / "point-v0" / "data" / "main_data.hdf5") as file:
        stored = {key: file[f"episode_7/observations/{key}"][:-1] for key in file["episode_7/observations"]}
    states = episodes.states[episodes.offsets[7] : episodes.offsets[8]]
    np.testing.assert_array_equal(states[:, :2], stored["observation"].astype(np.float32))
    goal = stored["desired_goal"] - stored["achieved_goal"]
    np.testing.assert_array_equal(states[:, 2:4], goal.astype(np.float32))
    np.testing.assert_array_equal(states[:, 4:], stored["achieved_goal"].astype(np.float32))
    again = load_episodes("mine/point-v0")  # from the cache
    assert again.env_spec == episodes.env_spec and again.content_hash == episodes.content_hash


def test_arrays_of_ones_own_may_be_a_dict_too(episodes: Episodes) -> None:
    states = {
        "observation": episodes.states[:, :2],
        "achieved_goal": episodes.states[:, 4:],
        "desired_goal": episodes.states[:, 2:4] + episodes.states[:, 4:],
    }
    mine = Episodes.from_arrays(states, episodes.actions, episodes.rewards, episodes.lengths, point.GYM_ID)
    assert mine.env_spec.slices == episodes.env_spec.slices
    np.testing.assert_allclose(mine.states, episodes.states, atol=1e-6)


def test_a_policy_learns_to_walk_to_its_goal_and_survives_saving(episodes: Episodes, tmp_path: Path) -> None:
    result = pretrain(
        episodes,
        config=TrainConfig(steps=150, batch_size=32, lr=3e-3, context=4, log_every=50),
        trunk_config=TrunkConfig(width=32, depth=1, heads=2, dropout=0.0),
        adapter_config=AdapterConfig(state="linear", action="ActionEmbedding"),
    )
    played = evaluate(result.model, num_episodes=20)
    assert played.success_rate is not None and played.success_rate >= 0.8
    assert played.to_json()["successes"] == played.successes.tolist()  # type: ignore[union-attr]
    assert f"success {played.success_rate:.2f}" in str(played)

    result.adapter.provenance = replace(result.adapter.provenance, trunk="any")
    adapter = Adapter.load(result.adapter.save(tmp_path / "adapter"), result.trunk, any_trunk=True)
    assert adapter.env_spec == episodes.env_spec
    policy, env = Policy(TransferModel(result.trunk, adapter)), gymnasium.make(point.GYM_ID)
    observation, reward, won = env.reset(seed=10_000)[0], None, False
    for _ in range(point.STEPS):  # the observation goes in as the environment gives it
        observation, gained, _, _, info = env.step(policy.act(observation, reward))
        reward, won = float(gained), won or bool(info["success"])
    assert won == bool(played.successes[0])  # type: ignore[index]


def test_an_observation_without_its_goal_is_refused(episodes: Episodes) -> None:
    spec = episodes.env_spec
    seen = gymnasium.make(point.GYM_ID).reset(seed=0)[0]
    with pytest.raises(TransferError, match="keys achieved_goal, observation; keys achieved_goal, desired_goal"):
        spec.to_state({key: values for key, values in seen.items() if key != "desired_goal"})
    with pytest.raises(TransferError, match="a flat vector; keys"):
        spec.to_state(np.zeros(6))
    with pytest.raises(TransferError, match="'goal' of the observation has shape"):
        spec.to_state({**seen, "desired_goal": np.zeros(3), "achieved_goal": np.zeros(3)})
