"""Episodes: packed arrays, what is derived from them, and what is refused."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toys import toy
from transfer.data.environment.building.make import Spaces
from transfer.data.environment.observations import Slice, flat
from transfer.data.environment.spec import EnvironmentSpec, ReferenceScores, spec_of_data
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
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
    episodes = Episodes.from_arrays(zeros, zeros, rewards, np.full(1000, 1000), toy(1, 1))
    # A running sum in float32 is off by more than 1 here.
    np.testing.assert_allclose(
        episodes.returns_to_go.reshape(1000, 1000), np.tile(np.arange(1000, 0, -1) * 0.1, (1000, 1)), rtol=1e-6
    )


KEYS = ("states", "actions", "rewards")
KINDS = {
    "float32": lambda values: np.asarray(values, np.float32),
    "float64": lambda values: np.asarray(values, np.float64),
    "views": lambda values: np.asarray(values, np.float32)[::-1].copy()[::-1],
    "tensors": lambda values: torch.as_tensor(np.asarray(values, np.float32)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_elses_memory_is_kept(kind: str) -> None:
    make = KINDS[kind]
    given = {key: make(arrays()[key]) for key in KEYS} | {"lengths": np.array(LENGTHS)}
    episodes = Episodes.from_arrays(**given, env=environment("hopper"))
    built = Episodes(*(given[key] for key in KEYS), episodes.offsets, episodes.env_spec, ["mine"])  # type: ignore[arg-type]
    before = {key: getattr(episodes, key).copy() for key in (*KEYS, "offsets")}
    for values in given.values():
        values[:] = 0
    for one in (episodes, built):
        for key, values in before.items():
            array = getattr(one, key)
            np.testing.assert_array_equal(array, values)
            assert array.dtype == (np.int64 if key == "offsets" else np.float32) and not array.flags.writeable
    assert episodes.content_hash == built.content_hash


def test_dict_observations_are_copied_too() -> None:
    states = {"b": np.ones((12, 4), np.float32), "a": np.arange(84, dtype=np.float64).reshape(12, 7)}
    episodes = Episodes.from_arrays(states, *list(arrays().values())[1:], env=spec_with_keys())
    before = episodes.states.copy()
    for values in states.values():
        values[:] = -1
    np.testing.assert_array_equal(episodes.states, before)
    np.testing.assert_array_equal(before[1], [*range(7, 14), 1, 1, 1, 1])


def spec_with_keys() -> EnvironmentSpec:
    return replace(environment("hopper"), slices=(Slice("a", 7, "a"), Slice("b", 4, "b")))


def test_a_reward_beyond_all_others_stays_in_its_episode() -> None:
    given = arrays()
    expected = Episodes.from_arrays(**given, env="Hopper-v5")
    given["rewards"][2] = -1e16
    huge = Episodes.from_arrays(**given, env="Hopper-v5")
    np.testing.assert_array_equal(huge.returns_to_go[4:], expected.returns_to_go[4:])
    np.testing.assert_array_equal(huge.returns[1:], expected.returns[1:])
    assert huge.returns_to_go[3] == expected.returns_to_go[3] and huge.returns_to_go[2] == np.float32(-1e16)


def test_returns_to_go_of_many_episodes_of_any_length_are_plain_sums() -> None:
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.integers(1, 40, 300), np.ones(50, np.int64), [5000]])
    rewards = rng.normal(size=lengths.sum())
    zeros = np.zeros((len(rewards), 1))
    episodes = Episodes.from_arrays(zeros, zeros, rewards, lengths, bounded(1, 1))
    expected = [one[i:].sum() for one in np.split(episodes.rewards.astype(np.float64), np.cumsum(lengths)[:-1])
                for i in range(len(one))]  # fmt: skip
    np.testing.assert_allclose(episodes.returns_to_go, expected, rtol=1e-6, atol=1e-6)


def bounded(state_size: int, action_size: int) -> EnvironmentSpec:
    """A spec of these sizes, of no environment that the library knows."""
    spaces = Spaces.unbounded(flat(state_size), action_size)
    return spec_of_data('{"id": "Mine-v0", "max_episode_steps": 50}', spaces, np.array([0.0, 1.0]))


def test_rewards_whose_sum_no_float32_holds_are_refused() -> None:
    one = Episodes.from_arrays(**{**arrays(), "rewards": np.full(12, 3e37)}, env="Hopper-v5")
    assert one.returns_to_go[5] == pytest.approx(2.1e38) and one.returns.max() == pytest.approx(2.1e38)
    with pytest.raises(TransferError, match=r"mine: the rewards of episode 0 add up to more than float32 holds"):
        Episodes.from_arrays(**{**arrays(), "rewards": np.full(12, 3e38)}, env="Hopper-v5", name="mine")
    apart = Episodes.from_arrays(**{**arrays(), "rewards": [3e38, -3e38] * 6}, env="Hopper-v5")
    assert np.isfinite(apart.returns_to_go).all()


def test_replaced_arrays_have_their_own_hash_and_scale() -> None:
    one = Episodes.from_arrays(**arrays(4, 1), env=bounded(4, 1))
    assert one.env_spec.reference.maximum == one.returns.max()
    assert one.content_hash != ""
    other = replace(one, rewards=one.rewards * 2)
    fresh = Episodes.from_arrays(one.states, one.actions, one.rewards * 2, LENGTHS, bounded(4, 1))
    assert other.content_hash == fresh.content_hash != one.content_hash
    assert other.env_spec == fresh.env_spec != one.env_spec
    with pytest.raises(TypeError):
        replace(one, content_hash="believe me")
    kept = replace(one, env_spec=replace(one.env_spec, reference=ReferenceScores("mine", 0, 7)))
    assert kept.env_spec.reference.maximum == 7


@pytest.mark.parametrize("rewards", [np.full(12, np.nan), np.zeros(11), np.zeros((12, 1)), ["a"] * 12])
def test_replaced_arrays_pass_the_same_gate(rewards: Any) -> None:
    with pytest.raises(TransferError, match="arrays: .*rewards"):
        replace(Episodes.from_arrays(**arrays(), env="Hopper-v5"), rewards=rewards)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_equal_and_as_read_only(copied: Any) -> None:
    one = Episodes.from_arrays(**arrays(), env="Hopper-v5")
    other = copied(one)
    assert other.content_hash == one.content_hash and other.env_spec == one.env_spec
    assert not any(getattr(other, key).flags.writeable for key in (*KEYS, "offsets"))


def test_episodes_are_counted_and_picked() -> None:
    episodes = Episodes.from_arrays(**arrays(), env="Hopper-v5", name="mine")
    assert len(episodes) == episodes.num_episodes == 3
    assert [len(one) for one in episodes] == LENGTHS
    np.testing.assert_array_equal(episodes[-1].states, episodes.states[5:])
    np.testing.assert_array_equal(episodes[np.int64(0)].actions, episodes.actions[:4])  # type: ignore[call-overload]
    assert episodes[2].total_reward == pytest.approx(episodes.returns[2])
    for wrong in (3, -4, 0.5, "a", True, None):
        with pytest.raises(TransferError, match="the number of an episode="):
            episodes[wrong]  # type: ignore[call-overload]


def test_a_part_is_episodes_on_the_scale_of_the_whole() -> None:
    whole = Episodes.from_arrays(**arrays(4, 1), env=bounded(4, 1), name="mine")
    part = whole[2::-2]
    np.testing.assert_array_equal(part.lengths, [7, 4])
    np.testing.assert_array_equal(part.states, np.concatenate([whole.states[5:], whole.states[:4]]))
    np.testing.assert_array_equal(
        part.returns_to_go, np.concatenate([whole.returns_to_go[5:], whole.returns_to_go[:4]])
    )
    assert part.env_spec == whole.env_spec and part.content_hash != whole.content_hash
    assert whole[:].content_hash == whole.content_hash
    assert Episodes.join([whole[:1], whole[1:]]).content_hash == whole.content_hash
    assert Episodes.join([whole[:1], whole[1:]]).dataset_ids == ("mine",)
    for wrong, message in ((slice(2, 2), "mine: no episode"), (slice("a"), "by whole numbers"), (slice(0, 1, 0), "by")):
        with pytest.raises(TransferError, match=message):
            whole[wrong]


def test_one_line_says_what_episodes_are() -> None:
    given = {**arrays(), "rewards": np.arange(12)}
    episodes = Episodes.from_arrays(**given, env="Hopper-v5", name="mine")
    assert repr(episodes) == "Episodes('mine': 3 episodes, 12 steps, S=11, A=3, return 4 to 56)"
    assert repr(episodes[1:2]) == "Episodes('mine': 1 episode, 1 step, S=11, A=3, return 4)"
    assert repr(episodes[0]) == "Episode(4 steps, return 6)"


FLAGS = np.isin(np.arange(12), (3, 4, 11))


@pytest.mark.parametrize(
    "ends",
    [
        {"terminations": FLAGS},
        {"truncations": FLAGS.tolist()},
        {"terminations": np.arange(12) == 3, "truncations": torch.as_tensor(np.isin(np.arange(12), (4, 11)))},
        {"terminations": np.isin(np.arange(12), (3, 4)).astype(np.float32)},  # the last one goes on
        {"terminations": FLAGS, "lengths": LENGTHS},
        {"terminations": np.arange(12) == 3, "lengths": torch.tensor(LENGTHS)},
        {"lengths": np.array(LENGTHS, np.uint8)},
        {"lengths": np.array(LENGTHS, np.float64)},
    ],
)
def test_flags_and_lengths_tell_the_same_episodes(ends: dict[str, Any]) -> None:
    given = {**arrays(), "lengths": None, **ends}
    episodes = Episodes.from_arrays(**given, env="Hopper-v5")
    assert episodes.lengths.tolist() == LENGTHS
    assert episodes.content_hash == Episodes.from_arrays(**arrays(), env="Hopper-v5").content_hash


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
    for wrong in (one, None, [one, 3], "ab"):
        with pytest.raises(TransferError, match="takes a list of Episodes"):
            Episodes.join(wrong)  # type: ignore[arg-type]
    with pytest.raises(TransferError, match="the same episodes are to be joined twice"):
        Episodes.join([one, Episodes.from_arrays(**arrays(), env="Hopper-v5", name="again")])


def broken(key: str, value: Any) -> dict[str, Any]:
    return {**arrays(), key: value}


def with_nan() -> dict[str, Any]:
    given = arrays()
    given["actions"][6, 2] = np.nan
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (broken("lengths", None), "mine: give lengths=, or terminations= and truncations="),
        (broken("lengths", FLAGS), "mine: lengths .* hold bool.*terminations= and truncations="),
        (broken("lengths", [4.5, 7.5]), "mine: lengths hold 4.5; whole numbers"),
        (broken("lengths", 12), "mine: lengths must be 1-d int64, got 0-d"),
        (broken("lengths", "12"), "mine: lengths are not an array of numbers|must be 1-d"),
        (broken("lengths", [2**62] * 4), "mine: lengths add up to"),
        (broken("lengths", [2**62, 12 - 2**62]), "mine: episode 1 has -"),
        (broken("terminations", np.arange(12) == 1), "mine: an episode is marked as ended after step 1, where lengths"),
        (broken("truncations", FLAGS[:5]), "mine: 5 truncations for 12 steps"),
        (broken("terminations", np.arange(12)), "mine: terminations hold 2; booleans"),
        (broken("states", {}), "mine: the keys of states must be text, one at least"),
        (broken("states", {1: np.zeros((12, 11))}), "mine: the keys of states must be text"),
        (broken("states", {"a": np.zeros(12)}), r"mine: states\['a'\] must be 2-d"),
        (broken("states", {"a": np.zeros((12, 4)), "b": np.zeros((11, 7))}), "the keys of states hold .* all must be"),
        (broken("states", np.ma.masked_array(np.zeros((12, 11)))), "mine: states are a masked array"),
        (broken("actions", np.zeros((12, 3), complex)), "mine: actions .*complex"),
        (broken("rewards", np.zeros(12, "datetime64[s]")), "mine: rewards .*dates"),
        (broken("rewards", [None] * 12), "mine: rewards .*objects"),
        (broken("rewards", np.zeros(12, bool)), "mine: rewards .*bool"),
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
    with pytest.raises(TransferError, match="actions of 3, but the environment Walker2d-v5 has 17"):
        Episodes.from_arrays(**arrays(), env=environment("walker2d"))


def test_a_quantile_outside_its_range_is_refused() -> None:
    episodes = Episodes.from_arrays(**arrays(), env="Hopper-v5")
    for wrong in (95, -0.1, float("nan"), "0.5", None):
        with pytest.raises(TransferError, match="the quantile="):
            episodes.quantile(wrong)  # type: ignore[arg-type]
