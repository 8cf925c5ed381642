"""Measured statistics: deviations that are noise, bounds, mean returns, and the memory that measuring takes."""

import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds import config_of
from tests.toys import toy
from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.data.measured import measure as measuring
from transfer.data.measured.measure import measure
from transfer.errors import TransferError
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.steps.scales import FARTHEST, Scales
from transfer.models.trunk import TrunkConfig

SMALL = TrunkConfig(width=16, depth=1, heads=2)


def episodes_of(states: Any = None, actions: Any = None, low: Any = -1.0, high: Any = 1.0, **more: Any) -> Episodes:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(40, 3)) if states is None else np.asarray(states)
    actions = rng.uniform(-0.5, 0.5, (len(states), 2)) if actions is None else np.asarray(actions)
    more = {"rewards": rng.uniform(0, 1, len(states)), "lengths": [len(states)], **more}
    return Episodes.from_arrays(states, actions, env=toy(states.shape[1], actions.shape[1], low, high), **more)


@pytest.mark.parametrize(
    ("mean", "deviation", "constant"),
    [
        (0.0, 2e-6, True),  # beside numbers of size 1
        (1.0, 2e-6, True),
        (1e4, 2e-3, True),
        (0.0, 0.0, True),
        (0.25, 0.0, True),
        (0.0, 1e-3, False),
        (1.0, 1e-3, False),
        (0.0, 1e6, False),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_deviation_of_nothing_but_noise_is_none(mean: float, deviation: float, constant: bool, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(400, 3))
    states[:, 1] = mean + deviation * rng.normal(size=400)
    std = measure(episodes_of(states.astype(dtype))).state_std[1]
    assert std == 1.0 if constant else std == pytest.approx(deviation, rel=0.1)


def test_small_units_are_no_noise_beside_large_ones() -> None:
    deviations = [0.05, 1e4, 1e4]
    states = deviations * np.random.default_rng(0).normal(size=(400, 3))
    np.testing.assert_allclose(measure(episodes_of(states)).state_std, deviations, rtol=0.1)


def test_states_far_from_their_origin_are_not_clipped() -> None:
    states = np.random.default_rng(0).normal(size=(400, 3))
    states[:, 1] = 5e6 + 40 * states[:, 1]  # metres
    episodes = episodes_of(states)
    scaled = Scales(measure(episodes), episodes.env_spec).scale_states(torch.from_numpy(episodes.states.copy()))
    assert scaled.abs().max() < FARTHEST
    np.testing.assert_allclose(scaled.std(0), 1, rtol=0.1)


def test_small_units_are_no_noise_where_all_numbers_are_small() -> None:
    states = 1e-7 * np.random.default_rng(0).normal(size=(400, 3))
    np.testing.assert_allclose(measure(episodes_of(states)).state_std, 1e-7, rtol=0.1)


def test_what_is_measured_in_blocks_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    states = np.random.default_rng(0).normal(3, 2, (1000, 5)).astype(np.float32)
    actions = states[:, :2]
    episodes = episodes_of(states, actions, -np.inf, np.inf)
    whole = measure(episodes)
    np.testing.assert_array_equal(whole.state_mean, states.mean(0, dtype=np.float64).astype(np.float32))
    np.testing.assert_array_equal(whole.state_std, states.std(0, dtype=np.float64).astype(np.float32))
    monkeypatch.setattr(measuring, "BLOCK", 20 * 7)  # seven steps of five values
    assert measure(episodes) == whole


def test_memory_mapped_data_are_never_copied_whole(tmp_path: Path) -> None:
    """48 MB of states and 13 MB of actions."""
    rng, steps = np.random.default_rng(0), 400_000
    mapped = np.lib.format.open_memmap(tmp_path / "states.npy", "w+", np.float32, (steps, 30))
    mapped[:] = rng.normal(size=(1, 30))
    mapped[::7] += 1
    actions = np.lib.format.open_memmap(tmp_path / "actions.npy", "w+", np.float32, (steps, 8))
    actions[:] = rng.uniform(-0.4, 0.4, (1, 8))
    actions[::3] *= -1
    small = episodes_of(np.zeros((4, 30)), np.zeros((4, 8)), -0.4, 0.4)
    episodes = small.__class__.__new__(small.__class__)
    offsets, rewards = np.arange(0, steps + 1, 1000), np.ones(steps, np.float32)
    given = {"states": mapped, "actions": actions, "rewards": rewards, "offsets": offsets, "env_spec": small.env_spec}
    for name, value in {**given, "dataset_ids": ("mapped",), "content_hash": "0"}.items():
        object.__setattr__(episodes, name, value)
    assert episodes.returns_to_go[0] == 1000  # made once, for training too
    tracemalloc.start()
    build_adapter(episodes, SMALL, config_of(bins=8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 2


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (-2.0, 2.0, ([-2, -2], [2, 2])),
        (0.0, 1.0, ([0, 0], [1, 1])),
        ([-0.4, 0.0], [0.4, 5.0], ([-0.4, 0], [0.4, 5])),
        (-np.inf, np.inf, ([0.25, 0.125], [0.75, 0.125])),
        (0.0, np.inf, ([0, 0], [0.75, 0.125])),
        (-np.inf, 1.0, ([0.25, 0.125], [1, 1])),
        (0.5, np.inf, ([0.5, 0.5], [0.75, 0.5])),  # all data of the second dimension lie below its bound
        (-np.inf, 0.1, ([0.1, 0.1], [0.1, 0.1])),
        (-3e38, 3e38, ([0.25, 0.125], [0.75, 0.125])),
        (-10.0, 10.0, ([-10, -10], [10, 10])),
        (-10.5, 1e3, ([0.25, 0.125], [0.75, 0.125])),
    ],
)
def test_bounds_are_the_environment_s_and_the_data_s_where_it_has_none(low: Any, high: Any, wanted: Any) -> None:
    found = measure(episodes_of(np.zeros((2, 1)), [[0.25, 0.125], [0.75, 0.125]], low, high))
    np.testing.assert_array_equal([found.action_low, found.action_high], np.float32(wanted))


def test_bounds_that_float32_lacks_are_rounded_to_the_inside() -> None:
    from dataclasses import replace

    episodes = episodes_of()
    spec = replace(episodes.env_spec, action_low=(-0.4, 0.1), action_high=(0.7, 1.1))
    found = measure(replace(episodes, env_spec=spec))
    assert found.action_low[0] >= -0.4 and found.action_low[1] >= 0.1
    assert found.action_high[0] <= 0.7 and found.action_high[1] <= 1.1
    np.testing.assert_allclose([found.action_low, found.action_high], [[-0.4, 0.1], [0.7, 1.1]], rtol=1e-6)


def test_the_mean_return_to_go_is_that_of_the_episodes_that_go_on() -> None:
    rewards = [1.0, 1, 1, 1, 5, 5]
    found = measure(episodes_of(np.zeros((6, 1)), rewards=rewards, lengths=[4, 2]))
    steps = np.arange(len(found.return_means)) * found.return_every
    wanted = np.interp(steps, np.arange(4), [(4 + 10) / 2, (3 + 5) / 2, 2, 1])
    np.testing.assert_allclose(found.return_means, wanted, rtol=1e-6)
    assert found.return_span == 6.0


def test_returns_with_a_table_of_their_own_keep_their_zero() -> None:
    data = np.random.default_rng(0).uniform(-1, 1, (20, 11))
    hopper = Episodes.from_arrays(data, data[:, :3], data[:, 0], [20], "Hopper-v5")
    assert measure(hopper).return_means == ()


def test_episodes_of_one_step_are_measured() -> None:
    found = measure(episodes_of(np.zeros((3, 1)), lengths=[1, 1, 1]))
    assert np.isfinite(found.return_means).all() and found.return_every > 0


def wild(kind: str, low: float = -1.0, high: float = 1.0) -> Episodes:
    actions = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    actions[5, 1] = 11.7 if kind == "far" else 1.0000001
    return episodes_of(np.random.default_rng(1).normal(size=(200, 3)), actions, low, high)


def test_actions_outside_the_bounds_are_clipped_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, measuring.logger.name):
        adapter = build_adapter(wild("far"), SMALL, config_of(tokenizer="uniform", bins=64))
    (line,) = [record.getMessage() for record in caplog.records if record.name == measuring.logger.name]
    assert "1 of 400 action numbers lie outside the bounds" in line and "farthest is 11.7" in line
    assert len(np.unique(adapter.action.tokenizer.transform(wild("far").actions)[:, 1])) > 55  # of 64 bins, not 2


def test_rounding_beyond_the_bounds_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    build_adapter(wild("rounding"), SMALL, config_of(bins=8, out_of_bounds="refuse"))
    assert measuring.logger.name not in {record.name for record in caplog.records}


@pytest.mark.parametrize("action", ["ActionEmbedding", "ActionTokenizedSpreadEmbedding"])
def test_actions_outside_the_bounds_are_refused_on_demand(action: str) -> None:
    config = config_of(action, bins=8, out_of_bounds="refuse")
    with pytest.raises(TransferError, match="test|arrays.*1 of 400.*out_of_bounds to 'clip'"):
        build_adapter(wild("far"), SMALL, config)
    build_adapter(wild("far", -20.0, 20.0), SMALL, config)
    build_adapter(wild("far", -np.inf, np.inf), SMALL, config)


def test_an_unknown_way_with_them_is_answered_with_the_closest() -> None:
    with pytest.raises(TransferError, match="Did you mean 'refuse'"):
        AdapterConfig(out_of_bounds="refused")
