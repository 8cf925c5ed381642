"""Episodes: packed arrays, what is derived from them, and what is refused."""

from typing import Any

import numpy as np
import pytest

from transfer.envs.specs import environment
from transfer.episodes import Episodes
from transfer.errors import TransferError

LENGTHS = [4, 1, 7]


def arrays(state_size: int = 11, action_size: int = 3, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    steps = sum(LENGTHS)
    return {
        "states": rng.normal(size=(steps, state_size)),
        "actions": rng.uniform(-1, 1, size=(steps, action_size)),
        "rewards": rng.normal(size=steps),
        "lengths": list(LENGTHS),
    }


def test_derived_numbers_equal_a_plain_loop() -> None:
    given = arrays()
    episodes = Episodes.from_arrays(**given, env="Hopper-v5")
    starts = [0, 4, 5]
    rewards = [given["rewards"][start : start + length] for start, length in zip(starts, LENGTHS, strict=True)]
    expected = [part[i:].sum() for part in rewards for i in range(len(part))]

    np.testing.assert_allclose(episodes.returns_to_go, expected, atol=1e-6)
    np.testing.assert_allclose(episodes.returns, [part.sum() for part in rewards], atol=1e-6)
    np.testing.assert_array_equal(episodes.lengths, LENGTHS)
    np.testing.assert_array_equal(episodes.offsets, [0, 4, 5, 12])
    assert (episodes.num_episodes, episodes.num_steps, episodes.state_size, episodes.action_size) == (3, 12, 11, 3)
    assert episodes.env_spec.name == "hopper"
    assert episodes.quantile(1.0) == episodes.returns.max()
    assert episodes.quantile(0.5) == np.median(episodes.returns)


def test_returns_to_go_do_not_drift_over_many_steps() -> None:
    steps = 1_000_000
    rewards = np.full(steps, 0.1, dtype=np.float32)
    zeros = np.zeros((steps, 1))
    episodes = Episodes.from_arrays(zeros, zeros, rewards, np.full(1000, 1000), "InvertedPendulum-v5")
    # A running sum in float32 is off by more than 1 here.
    np.testing.assert_allclose(
        episodes.returns_to_go.reshape(1000, 1000), np.tile(np.arange(1000, 0, -1) * 0.1, (1000, 1)), rtol=1e-6
    )


def test_arrays_are_float32_and_belong_to_the_episodes() -> None:
    given = arrays()
    episodes = Episodes.from_arrays(**given, env=environment("hopper"))
    before = episodes.states.copy()
    given["states"][:] = 0
    assert episodes.states.dtype == episodes.actions.dtype == episodes.rewards.dtype == np.float32
    np.testing.assert_array_equal(episodes.states, before)


def test_content_hash_follows_every_number_and_nothing_else() -> None:
    first = Episodes.from_arrays(**arrays(), env="Hopper-v5")
    assert first.content_hash == Episodes.from_arrays(**arrays(), env="Hopper-v4", name="other").content_hash
    hashes = {first.content_hash}
    for key in ("states", "actions", "rewards"):
        given = arrays()
        given[key].reshape(-1)[-1] += 1e-3
        hashes.add(Episodes.from_arrays(**given, env="Hopper-v5").content_hash)
    given = arrays()
    given["lengths"] = [1, 4, 7]
    hashes.add(Episodes.from_arrays(**given, env="Hopper-v5").content_hash)
    assert len(hashes) == 5


def test_join_keeps_episodes_whole_and_in_order() -> None:
    one = Episodes.from_arrays(**arrays(seed=1), env="Hopper-v5", name="one")
    two = Episodes.from_arrays(**arrays(seed=2), env="Hopper-v5", name="two")
    both = Episodes.join([one, two])
    np.testing.assert_array_equal(both.returns, np.concatenate([one.returns, two.returns]))
    np.testing.assert_array_equal(both.returns_to_go[:12], one.returns_to_go)
    np.testing.assert_array_equal(both.states[both.offsets[3] : both.offsets[4]], two.states[:4])
    assert both.dataset_ids == ("one", "two")
    assert Episodes.join([one]).content_hash == one.content_hash
    assert Episodes.join([two, one]).content_hash != both.content_hash


def test_join_measures_an_unknown_environment_on_all_of_its_data() -> None:
    parts = []
    for scale in (1.0, 10.0):
        given = arrays(4, 1)
        given["rewards"] = given["rewards"] * scale
        parts.append(Episodes.from_arrays(**given, env="InvertedPendulum-v5"))
    joined = Episodes.join(parts)
    assert joined.env_spec.reference.table == "dataset"
    assert joined.env_spec.reference.maximum == joined.returns.max() > parts[0].returns.max()
    assert joined.env_spec.target_returns == (joined.returns.max(),)


@pytest.mark.parametrize(
    ("other", "sizes", "message"),
    [
        ("Walker2d-v5", (17, 6), r"one.*two.*\(11, 3\) and \(17, 6\)"),
        ("Hopper-v4", (11, 3), "one of Hopper-v5 and two of Hopper-v4.*not the same environment"),
    ],
)
def test_join_refuses_other_bodies(other: str, sizes: tuple[int, int], message: str) -> None:
    one = Episodes.from_arrays(**arrays(), env="Hopper-v5", name="one")
    two = Episodes.from_arrays(**arrays(*sizes), env=other, name="two")
    with pytest.raises(TransferError, match=message):
        Episodes.join([one, two])
    with pytest.raises(TransferError, match="nothing to join"):
        Episodes.join([])


def broken(key: str, value: Any) -> dict[str, Any]:
    return {**arrays(), key: value}


def with_nan() -> dict[str, Any]:
    given = arrays()
    given["actions"][6, 2] = np.nan
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (broken("lengths", []), "mine: no episode"),
        (broken("lengths", [4, 0, 8]), "mine: episode 1 has 0 steps"),
        (broken("lengths", [4, -1, 9]), "mine: episode 1 has -1 steps"),
        (broken("lengths", [4, 1, 6]), "mine: 12 states, 12 actions and 12 rewards for episodes of 11 steps"),
        (broken("states", np.zeros((15, 11))), "mine: 15 states.*leave out the last observation"),
        (broken("states", np.zeros(12)), "mine: states must be 2-d float32, got 1-d"),
        (broken("actions", np.zeros((12, 0))), "mine: states and actions need a size"),
        (broken("rewards", ["a"] * 12), "mine: rewards are not an array of numbers"),
        (broken("rewards", np.full(12, 1e300)), "mine: rewards of episode 0, step 0, are not finite"),
        (with_nan(), "mine: actions of episode 2, step 1, are not finite"),
    ],
)
def test_bad_arrays_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        Episodes.from_arrays(**given, env="Hopper-v5", name="mine")


def test_bad_environments_are_refused() -> None:
    for env in ("Hoper-v5", "hopper", 3):
        with pytest.raises(TransferError, match="no environment for"):
            Episodes.from_arrays(**arrays(), env=env)
    with pytest.raises(TransferError, match="sizes 11 and 3, but the environment 'walker2d' has 17 and 6"):
        Episodes.from_arrays(**arrays(), env=environment("walker2d"))


def test_a_quantile_outside_its_range_is_refused() -> None:
    with pytest.raises(TransferError, match="between 0 and 1, got 95"):
        Episodes.from_arrays(**arrays(), env="Hopper-v5").quantile(95)
