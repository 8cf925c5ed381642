"""Environment specs: JSON, and environments that are built from the dataset's own description."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from tests import toys
from tests.toys import toy
from transfer.data.environment.building.make import Spaces
from transfer.data.environment.observations import flat
from transfer.data.environment.spec import (
    EnvironmentSpec,
    ReferenceScores,
    as_spec,
    gym_spec_json,
    spec_of_data,
)
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.storage.format_2 import without_targets


def test_json_round_trip_is_exact() -> None:
    spec = environment("walker2d")
    restored = EnvironmentSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert restored == spec


def test_the_targets_that_earlier_versions_wrote_are_passed_over() -> None:
    spec = environment("walker2d")
    content = {"environment": {**spec.to_json(), "target_returns": [5000.0]}, "hidden": 3}
    assert without_targets(content) == {"environment": spec.to_json(), "hidden": 3}
    assert without_targets({"environment": "edited"}) == {"environment": "edited"}


@pytest.mark.parametrize("part", ["spec", "reference"])
def test_json_with_other_keys_is_refused(part: str) -> None:
    data = environment("hopper").to_json()
    inner = data if part == "spec" else data["reference"]
    key = "state_size" if part == "spec" else "minimum"
    inner[key + "s"] = 1
    with pytest.raises(TransferError, match=f"'{key}s'.*Did you mean '{key}'"):
        EnvironmentSpec.from_json(data)
    del inner[key + "s"], inner[key]
    with pytest.raises(TransferError, match=f"lacks {key}"):
        EnvironmentSpec.from_json(data)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda spec: ReferenceScores(b"x", 0, 1), "the table of the reference scores is b'x'"),  # type: ignore
        (lambda spec: ReferenceScores("mine", -1.7e308, 1.7e308), "need maximum > minimum"),
        (lambda spec: ReferenceScores.of_returns(np.zeros(0)), "finite returns, one at least"),
        (lambda spec: ReferenceScores.of_returns(np.array([1.0, np.nan])), "finite returns"),
        (lambda spec: ReferenceScores.of_returns("best"), "returns must be 1-d"),  # type: ignore
        (lambda spec: spec.reference.score("3"), "returns='3' is text"),
        (lambda spec: spec.reference.returns(None), "score=None"),
        (lambda spec: replace(spec, name=3), "the name of an environment is 3"),
        (lambda spec: replace(spec, gym_spec=None), "Gymnasium spec"),
        (lambda spec: replace(spec, reference=None), "the reference of 'hopper' is None"),
        (lambda spec: replace(spec, slices=None), "slices of 'hopper' is None"),
        (lambda spec: replace(spec, slices=("state",)), "slices of 'hopper' is"),
        (lambda spec: replace(spec, action_low=-1.0), "action_low of 'hopper'"),
        (lambda spec: spec.make(render_mode="rgb_arry"), "render_mode 'rgb_arry'.*rgb_array"),
        (lambda spec: spec.make(render_mode=3), "render_mode '3'"),
        (lambda spec: as_spec("Hopper-v5", like="hopper"), "like is 'hopper'"),
    ],
)
def test_wrong_types_are_named(build: Callable[[EnvironmentSpec], object], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        build(environment("hopper"))


def test_numbers_of_numpy_are_taken() -> None:
    spec = replace(environment("hopper"), action_low=np.full(3, -0.5))  # type: ignore
    assert spec.action_low == (-0.5,) * 3 and type(spec.action_low[0]) is float
    assert spec.reference.score(np.float32(3234.3)) == pytest.approx(100.0)
    assert ReferenceScores.of_returns([1, 2]) == ReferenceScores("dataset", 1.0, 2.0)  # type: ignore[arg-type]


def test_the_bounds_of_actions_are_those_of_the_environment() -> None:
    assert environment("hopper").action_low == (-1.0,) * 3
    assert as_spec("Pendulum-v1").action_high == (2.0,) and as_spec("InvertedPendulum-v5").action_low == (-3.0,)
    uneven = as_spec(toy(3, 2, low=[-1.0, 0.0], high=[1.0, 0.5]))
    assert (uneven.action_low, uneven.action_high) == ((-1.0, 0.0), (1.0, 0.5))
    free = as_spec(toy(3, 1, low=-np.inf, high=np.inf))
    assert free.to_json()["action_low"] == [None]
    assert EnvironmentSpec.from_json(json.loads(json.dumps(free.to_json(), allow_nan=False))) == free


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_low": [-1.0, -1.0]}, "action_low of 'hopper' has 2 numbers; it takes 3"),
        ({"action_low": [-1.0, 1.0, -1.0]}, "action 1 of 'hopper' lies between 1.0 and 1.0"),
        ({"action_high": [1.0, float("nan"), 1.0]}, "action_high of 'hopper'=nan"),
        ({"action_high": [1.0, "1", 1.0]}, "action_high of 'hopper' are not.*text"),
        ({"action_high": 1.0}, "action_high is 1.0"),
        ({"max_episode_steps": 10**18}, "max_episode_steps of 'hopper'.*too large"),
        ({"max_episode_steps": "7"}, "max_episode_steps"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"state_size": 11.5}, "state_size"),
        ({"action_size": True}, "action_size"),
        ({"name": ["hopper"]}, "the name of an environment is "),
        ({"gym_spec": {"id": "Hopper-v5"}}, "Gymnasium spec is "),
        ({"reference": 3}, "the reference scores is 3"),
        ({"slices": {"state": 11}}, "slices is "),
        ({"slices": [{"name": "state", "size": "11", "key": "", "minus": ""}]}, "size of a slice"),
        ({"slices": [3]}, "a slice of the observation is 3"),
    ],
)
def test_values_of_other_types_or_sizes_in_json_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        EnvironmentSpec.from_json({**environment("hopper").to_json(), **changes})


@pytest.mark.parametrize(
    ("gym_id", "body"),
    [
        ("Hopper-v4", "Hopper"),
        ("Hopper-v5", "Hopper"),
        ("AntMaze_UMaze-v4", "AntMaze"),
        ("AntMaze_Large_Diverse_GR-v5", "AntMaze"),
        ("AdroitHandPenDense-v1", "AdroitHandPen"),
        ("Ant-v5", "Ant"),
        ("mine/Two_Legs-v0", "mine/Two_Legs"),
    ],
)
def test_versions_and_tasks_of_a_robot_share_a_body(gym_id: str, body: str) -> None:
    spec = environment("hopper")
    assert replace(spec, gym_spec=json.dumps({**json.loads(spec.gym_spec), "id": gym_id})).body == body


def test_whatever_a_user_calls_an_environment_by_is_the_same_spec() -> None:
    spec = environment("hopper")
    with contextlib.closing(gymnasium.make("Hopper-v5")) as env:
        for given in ("Hopper-v5", "gymnasium:Hopper-v5", gymnasium.spec("Hopper-v5"), env, spec):
            assert as_spec(given) == spec, given


def test_where_nothing_gives_a_scale_a_score_is_the_return() -> None:
    mine = spec_of_data(gym_spec_json(toy(3, 2)), Spaces.unbounded(flat(3), 2), np.array([5.0, 9.0]))
    assert as_spec(toy(3, 2), like=mine).reference == mine.reference  # the data of the same body
    other = as_spec("Pendulum-v1", like=environment("hopper"))
    assert other.reference.table == "raw return" and other.reference.score(-150.0) == -150.0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v1", "CartPole-v1 has actions in Discrete.*Discrete actions are not"),
        ("CliffWalking-v1", "has observations in Discrete"),
        ("Hoper-v5", "no environment for 'Hoper-v5'.*Did you mean 'Hopper-v5'"),
        ("no_such_module:Mine-v0", "no environment for 'no_such_module:Mine-v0'.*no module named 'no_such_module'"),
        ("", "no environment for ''"),
        ("Hopper", "no environment for 'Hopper'.*Did you mean 'Hopper-v5'"),
        ("my env-v0", "no environment for 'my env-v0': Malformed"),
        (gymnasium.Env, "it has no Gymnasium spec"),
        (toys.Toy(2, 1), "it has no Gymnasium spec; register it"),
        (gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync"), "it is many environments in one"),
        (3, "no environment for 3"),
        (None, "no environment for None"),
    ],
)
def test_environments_that_cannot_be_used_are_refused(env: object, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        as_spec(env)


def test_data_of_other_sizes_than_their_environment_are_refused() -> None:
    with pytest.raises(TransferError, match="actions of 1, but the environment Hopper-v5 has 11 state numbers and 3"):
        Episodes.from_arrays(np.zeros((4, 11)), np.zeros((4, 1)), np.zeros(4), [4], "Hopper-v5")
    with pytest.raises(TransferError, match="but the environment AntMaze_UMaze-v4 has 27 observation"):
        Episodes.from_arrays(np.zeros((4, 31)), np.zeros((4, 8)), np.zeros(4), [4], "AntMaze_UMaze-v4")


def test_an_environment_is_built_from_its_spec_and_never_from_its_name() -> None:
    gym_spec = deepcopy(gymnasium.spec("Hopper-v5"))  # the registered one is everybody's
    gym_spec.kwargs["exclude_current_positions_from_observation"] = False
    gym_spec.max_episode_steps = 7
    spec = spec_of_data(gym_spec.to_json(), Spaces.unbounded(flat(12), 3), np.zeros(1))
    env = EnvironmentSpec.from_json({**spec.to_json(), "name": "walker2d"}).make()
    assert env.observation_space.shape == (12,)  # 11 without the position that the dataset kept
    env.reset(seed=0)
    steps = [env.step(np.zeros(3, dtype=np.float32)) for _ in range(7)]
    assert [truncated for _, _, _, truncated, _ in steps] == [False] * 6 + [True]
    env.close()


def test_unknown_environments_use_the_scale_of_their_data() -> None:
    spec = spec_of_data(gym_spec_json("InvertedPendulum-v5"), Spaces.unbounded(flat(4), 1), np.array([3.0, 90.0, 11.0]))
    assert spec.name == spec.gym_id == "InvertedPendulum-v5"
    assert spec.reference == ReferenceScores("dataset", 3.0, 90.0)


def test_an_environment_that_cannot_be_built_says_what_to_install() -> None:
    data = environment("hopper").to_json()
    data["gym_spec"] = data["gym_spec"].replace("gymnasium.envs.mujoco.hopper_v5", "no_such_package.hopper")
    with pytest.raises(TransferError, match="Hopper-v5.*no_such_package.*transfer --import no_such_package"):
        EnvironmentSpec.from_json(data).make(trust=True)


def test_building_environments_prints_nothing_and_writes_no_log(tmp_path: object) -> None:
    # A process of its own: the notice of gymnasium_robotics comes once, at its import, and MuJoCo's from C.
    program = (
        "from transfer.envs.catalog import environment\n"
        "environment('halfcheetah').make().reset(seed=0)\n"
        "environment('pen').make().reset(seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=_env())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []  # type: ignore[attr-defined]


def _env() -> dict[str, str]:
    import os
    from pathlib import Path

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
