"""What files name is neither imported nor called; what is registered, plain, or vouched for is."""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, utils, wrappers

from tests import toys
from tests.toys import toy
from transfer.data.environment.building.parsing import parsed
from transfer.data.environment.building.trust import trusting
from transfer.data.environment.building.wrappers import wrapped
from transfer.data.environment.spec import EnvironmentSpec, as_spec, gym_spec_json
from transfer.envs.catalog import environment
from transfer.errors import NotAtHand, TransferError

PAYLOAD = """
from pathlib import Path
import gymnasium
Path(__file__).with_name("imported").touch()
class Env(gymnasium.Env):
    def __init__(self, **kwargs):
        Path(__file__).with_name("called").touch()
        self.observation_space = gymnasium.spaces.Box(-1, 1, (11,))
        self.action_space = gymnasium.spaces.Box(-1, 1, (3,))
class Around(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):
    def __init__(self, env, **kwargs):
        Path(__file__).with_name("called").touch()
        super().__init__(env)
"""
Marks = Callable[[], set[str]]


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Marks]:
    """A module `evilmod` that Python would find; which of its traces there are ("imported", "called")."""
    (tmp_path / "evilmod.py").write_text(PAYLOAD)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: {path.name for path in tmp_path.iterdir()} & {"imported", "called"}
    sys.modules.pop("evilmod", None)


def hopper(**changes: Any) -> EnvironmentSpec:
    """Hopper's spec as a file would hold it, on a scale of its own, with other values in its Gymnasium spec."""
    data = environment("hopper").to_json()
    data["reference"]["table"] = "mine"
    return EnvironmentSpec.from_json({**data, "gym_spec": json.dumps(json.loads(data["gym_spec"]) | changes)})


def around(entry_point: str, name: str = "", **kwargs: Any) -> list[dict[str, Any]]:
    return [{"name": name or entry_point.partition(":")[2], "entry_point": entry_point, "kwargs": kwargs}]


HOSTILE = {
    "another entry point": {"entry_point": "evilmod:Env", "kwargs": {"a": 1}},
    "an entry point of an unknown id": {"id": "Mine-v0", "entry_point": "evilmod:Env"},
    "an entry point of the standard library": {"entry_point": "os:system", "kwargs": {"command": "true"}},
    "an id with a module": {"id": "evilmod:Hopper-v5"},
    "an unknown id with a module": {"id": "evilmod:Mine-v0", "entry_point": None},
    "a wrapper": {"additional_wrappers": around("evilmod:Around")},
    "a wrapper under a known name": {"additional_wrappers": around("evilmod:Around", "TimeLimit")},
    "a wrapper that looks like Gymnasium's": {"additional_wrappers": around("gymnasium.wrappers.evil:Around")},
    "a wrapper outside of Gymnasium's": {"additional_wrappers": around("gymnasium.envs.registration:make")},
    "a wrapper that imports": {"additional_wrappers": around("gymnasium.wrappers:ArrayConversion", env_xp="evilmod")},
    "a wrapper that calls": {"additional_wrappers": around("gymnasium.wrappers:TransformReward", func="evilmod:Env")},
    "a wrapper with an odd argument": {"additional_wrappers": around("gymnasium.wrappers:ClipAction", env="evilmod")},
    "an argument that names a module": {"kwargs": {"policy": "evilmod:Env"}},
    "an argument that names code": {"kwargs": {"policy": "evilmod.Env"}},
    "an argument that calls": {"kwargs": {"policy": "__import__('evilmod')"}},
    "an argument with another colon": {"kwargs": {"policy": "evilmod\uff1aEnv"}},
    "an argument with another dot": {"kwargs": {"policy": "evilmod\u2024Env"}},
    "a path in the environment": {"kwargs": {"xml_file": "$HOME"}},
    "a path": {"kwargs": {"xml_file": "/etc/passwd"}},
    "a path in the working folder": {"kwargs": {"xml_file": "./mine.xml"}},
    "a path at home": {"kwargs": {"xml_file": "~/mine.xml"}},
    "a path deep inside": {"kwargs": {"maps": [{"a": ["../mine"]}]}},
    "a path as a name": {"kwargs": {"../mine": 1}},
    "a path of another system": {"kwargs": {"file": "C\\mine"}},
    "a hidden file": {"kwargs": {"file": ".mine"}},
    "what cannot be seen": {"kwargs": {"file": "mine\x00"}},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_a_file_names_is_imported_or_called(changes: dict[str, Any], marks: Marks) -> None:
    spec = hopper(**changes)
    with pytest.raises(NotAtHand, match="trust=True"):
        spec.make()
    with pytest.raises(TransferError):
        as_spec(gymnasium.envs.registration.EnvSpec.from_json(spec.gym_spec))
    assert marks() == set() and "evilmod" not in sys.modules


def test_what_is_never_used_is_left_out(marks: Marks) -> None:
    gone = around("gymnasium.wrappers.rendering:RecordVideo", video_folder="/nowhere/videos")
    spec = hopper(vector_entry_point="evilmod:Env", additional_wrappers=gone, kwargs={"render_mode": "human"})
    with contextlib.closing(spec.make()) as env:
        assert env.render_mode is None and env.spec is not None and env.spec.additional_wrappers == ()
    with contextlib.closing(spec.make(render_mode="rgb_array")) as env:
        assert env.render_mode == "rgb_array"
    assert marks() == set()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 3}, "id of the environment is 3"),
        ({"id": "Hopper-v5\n"}, "the environment's id is 'Hopper-v5"),
        ({"entry_point": ["evilmod", "Env"]}, "entry_point of the environment is"),
        ({"max_episode_steps": "7"}, "max_episode_steps of the environment='7'"),
        ({"max_episode_steps": 10**18}, "max_episode_steps.*too large"),
        ({"max_episode_steps": 0}, "max_episode_steps.*too small"),
        ({"max_episode_steps": 7.5}, "max_episode_steps"),
        ({"max_episode_steps": True}, "max_episode_steps"),
        ({"order_enforce": "yes"}, "order_enforce of the environment='yes'"),
        ({"disable_env_checker": 1}, "disable_env_checker"),
        ({"nondeterministic": None}, "nondeterministic"),
        ({"reward_threshold": "high"}, "reward_threshold"),
        ({"reward_threshold": float("nan")}, "reward_threshold"),
        ({"kwargs": [1]}, r"kwargs of the environment is \[1\]"),
        ({"additional_wrappers": {"a": 1}}, "additional_wrappers of the environment is"),
        ({"additional_wrappers": ["TimeLimit"]}, "a wrapper of the environment is 'TimeLimit'"),
        ({"additional_wrappers": around("gymnasium.wrappers:TimeLimit", max_episode_steps="9")}, "of the wrapper Time"),
        (
            {"additional_wrappers": around("gymnasium.wrappers:RepeatAction", num_repeats=10**15)},
            "repeat and stack 1,0",
        ),
        ({"apply_step_limit": True}, "unknown key in the environment's Gymnasium spec 'apply_step_limit'"),
    ],
)
def test_values_of_other_types_or_sizes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        hopper(**changes).make()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"Hopper-v5"', "{}", "[" * 100_000])
def test_a_spec_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(TransferError, match="Gymnasium spec"):
        EnvironmentSpec.from_json({**environment("hopper").to_json(), "gym_spec": text})


def test_gymnasiums_own_wrappers_are_built_with_plain_arguments() -> None:
    base = gymnasium.make(toy(3, 2))
    env = wrappers.RescaleAction(base, np.float32([-2, -2]), np.float64(2.0))  # type: ignore[arg-type]
    spec = EnvironmentSpec.from_json(json.loads(json.dumps(as_spec(wrappers.ClipAction(env)).to_json())))
    assert (spec.action_low, spec.action_high) == ((-np.inf,) * 2, (np.inf,) * 2)  # ClipAction takes anything
    with contextlib.closing(spec.make()) as again:
        assert [type(one).__name__ for one in (again, again.env)] == ["ClipAction", "RescaleAction"]  # type: ignore
        assert again.env.action_space == spaces.Box(-2, 2, (2,), np.float32)  # type: ignore[attr-defined]
    flat = as_spec(wrappers.FlattenObservation(wrappers.FrameStackObservation(base, 2)))
    assert flat.state_size == 6 and flat.make().reset(seed=0)[0].shape == (6,)


def test_wrappers_inside_each_other_repeat_and_stack_no_more_than_one_may() -> None:
    stack = around("gymnasium.wrappers:FrameStackObservation", stack_size=50)
    again = around("gymnasium.wrappers:RepeatAction", num_repeats=50)
    hopper(additional_wrappers=stack + around("gymnasium.wrappers:FlattenObservation"))
    with contextlib.closing(gymnasium.make(toy(2, 1))) as env:
        wrapped(env, parsed(hopper(additional_wrappers=again).gym_spec).additional_wrappers, None)
        for each in (again * 2, stack + again, stack * 3):
            with pytest.raises(NotAtHand, match="its wrappers repeat and stack .* times; 1,000 are the most"):
                wrapped(env, parsed(hopper(additional_wrappers=each).gym_spec).additional_wrappers, None)


def test_a_registered_entry_point_may_put_wrappers_around_of_its_own(marks: Marks) -> None:
    gymnasium.register("TestWrapped-v0", lambda **kwargs: Mine(toys.Toy(2, 1)))
    spec = as_spec("TestWrapped-v0")
    made = as_spec(gymnasium.make("TestWrapped-v0"))
    assert json.loads(made.gym_spec)["additional_wrappers"][0]["entry_point"].endswith(":Mine")
    with contextlib.closing(spec.make()), contextlib.closing(EnvironmentSpec.from_json(made.to_json()).make()) as env:
        assert isinstance(env.env, Mine)  # type: ignore[attr-defined]
    del gymnasium.registry["TestWrapped-v0"]


class Mine(gymnasium.Wrapper[Any, Any, Any, Any], utils.RecordConstructorArgs):
    """A user's own wrapper."""

    def __init__(self, env: Any, by: float = 0.5) -> None:
        utils.RecordConstructorArgs.__init__(self, by=by)
        super().__init__(env)


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A user's own wrapper that nobody can build again."""


def test_an_environment_handed_in_is_built_again_and_its_file_is_not() -> None:
    mine = as_spec(Mine(gymnasium.make(toy(2, 1)), by=0.25))
    with contextlib.closing(mine.make()) as env:
        assert isinstance(env, Mine)
    stored = {**json.loads(mine.gym_spec), "max_episode_steps": 9}  # another text: what this process knows is not it
    other = EnvironmentSpec.from_json({**mine.to_json(), "gym_spec": json.dumps(stored)})
    with pytest.raises(NotAtHand, match="the wrapper 'Mine'.*is none of Gymnasium's own.*trust=True"):
        other.make()
    with contextlib.closing(other.make(trust=True)) as env:
        assert isinstance(env, Mine)


def test_a_wrapper_that_cannot_be_built_again_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    spec = as_spec(Forgetful(gymnasium.make(toy(2, 1))))
    assert "Forgetful' (" in caplog.text and "RecordConstructorArgs" in caplog.text
    with pytest.raises(NotAtHand, match="does not record its arguments"):
        spec.make(trust=True)


def test_with_trust_each_call_is_told_before_it_is_made(marks: Marks, caplog: pytest.LogCaptureFixture) -> None:
    spec = hopper(
        entry_point="evilmod:Env", kwargs={"a": 1}, additional_wrappers=around("evilmod:Around", b="x\033[2J")
    )
    lines: list[tuple[str, set[str]]] = []
    with trusting(lambda line: lines.append((line, marks()))):
        for _ in range(3):
            spec.make().close()
    assert lines[0] == ("calling evilmod:Env(a=1)", set())  # said before it is imported, and once
    assert [line for line, _ in lines] == ["calling evilmod:Env(a=1)", r"calling evilmod:Around(b='x\\x1b[2J')"]
    assert marks() == {"imported", "called"}
    with pytest.raises(NotAtHand):  # not stored
        spec.make()
    spec.make(trust=True).close()
    assert "calling evilmod:Env(a=1)" in caplog.text


def test_what_is_trusted_and_fails_is_named() -> None:
    for entry_point, message in {
        "not_here:Around": "No module named 'not_here'",
        "evil": "ValueError",
        "os:environ": "the wrapper 'environ' cannot be put around it: TypeError",
        "os:not_there": "AttributeError",
    }.items():
        spec = hopper(additional_wrappers=around(entry_point, entry_point.rpartition(":")[2]))
        with pytest.raises(NotAtHand, match=message):
            spec.make(trust=True)
        with pytest.raises(NotAtHand, match=message.replace("the wrapper 'environ' cannot be put around it: ", "")):
            hopper(id="TestNew-v0", entry_point=entry_point).make(trust=True)


def test_trust_reaches_other_threads(marks: Marks) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with trusting(lambda line: None), ThreadPoolExecutor(2) as pool:
        for env in pool.map(lambda _: hopper(entry_point="evilmod:Env").make(), range(2)):
            env.close()


def test_a_class_is_recorded_as_what_is_registered_for_its_id() -> None:
    gymnasium.register("TestClass-v0", toys.Toy, max_episode_steps=4, kwargs={"state_size": 2, "low": np.float32(-3)})
    for given in ("TestClass-v0", gymnasium.spec("TestClass-v0"), gymnasium.make("TestClass-v0")):
        spec = as_spec(given)
        assert json.loads(spec.gym_spec)["entry_point"] is None and spec.action_low == (-3.0,)
        spec.make().close()
    # A later process registers the id elsewhere, by name.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gymnasium.register("TestClass-v0", "tests.toys:Toy", kwargs={"state_size": 2, "low": -3})
    EnvironmentSpec.from_json(spec.to_json()).make().close()
    del gymnasium.registry["TestClass-v0"]
    with pytest.raises(NotAtHand, match="no environment 'TestClass-v0' is registered here.*--import MODULE"):
        spec.make()


def test_what_lived_in_a_script_is_the_registered_one() -> None:
    toy(1, 1)
    text = json.loads(gym_spec_json(toys.GYM_ID)) | {"entry_point": "__main__:Toy"}
    with contextlib.closing(hopper(**text).__class__.from_json(toy_json(json.dumps(text))).make()) as env:
        assert isinstance(env.unwrapped, toys.Toy)


def toy_json(gym_spec: str) -> dict[str, Any]:
    return {**as_spec(toy(1, 1)).to_json(), "gym_spec": gym_spec}


@pytest.mark.parametrize("value", [lambda reward: reward, object(), {1: 2}, np.array(["a"])])
def test_an_argument_that_no_file_can_hold_is_named(value: Any) -> None:
    spec = toy(1, 1)
    spec.kwargs["reward"] = value
    with pytest.raises(TransferError, match="reward of TestToy-v0 is .*which no file can hold. Register an id"):
        as_spec(spec)


def test_an_id_registered_anew_is_asked_anew() -> None:
    spec = toy(1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for bound in (2.0, 3.0):
            gymnasium.register("TestAgain-v0", toys.Toy, kwargs={"low": -bound, "high": bound})
            assert as_spec("TestAgain-v0").action_high == (bound,)
    del gymnasium.registry["TestAgain-v0"], spec


def test_plain_arguments_are_words_numbers_and_what_was_registered() -> None:
    gymnasium.register("TestWords-v0", lambda **kwargs: toys.Toy(2, 1), kwargs={"files": ("/robots/mine.xml",)})
    for kwargs in (
        {"files": ["/robots/mine.xml"]},
        {
            "task": "put the cup (blue), please!",
            "size": 1.5,
            "grid": [[0, "r"], [1, "g"]],
            "options": {"slide cabinet": True},
        },
        {"task": "größe 2.5", "none": None, "far": float("inf")},
    ):
        data = {**as_spec("TestWords-v0").to_json()}
        data["gym_spec"] = json.dumps(json.loads(data["gym_spec"]) | {"kwargs": kwargs})
        EnvironmentSpec.from_json(data).make().close()
    del gymnasium.registry["TestWords-v0"]


def test_arguments_that_are_not_plain_leave_the_registered_ones_alone() -> None:
    gymnasium.register("TestFunction-v0", "tests.toys:Toy", kwargs={"low": np.float32(-3), "high": np.array([3.0])})
    spec = gymnasium.spec("TestFunction-v0")
    data = json.loads(as_spec("TestFunction-v0").gym_spec)
    assert data["kwargs"] == {"low": -3.0, "high": [3.0]}
    asked = EnvironmentSpec.from_json(
        {**as_spec(spec).to_json(), "gym_spec": json.dumps(data | {"kwargs": {"render_mode": "a/b", **data["kwargs"]}})}
    )
    with pytest.raises(NotAtHand, match="'render_mode' = 'a/b'"):
        asked.make()
    asked.make(trust=True).close()
    del gymnasium.registry["TestFunction-v0"]


def test_an_environment_for_many_at_once_is_named() -> None:
    gymnasium.register("TestMany-v0", vector_entry_point="evilmod:Env")
    with pytest.raises(NotAtHand, match="TestMany-v0 is registered for many at once only"):
        as_spec("TestMany-v0")
    del gymnasium.registry["TestMany-v0"]


def test_statistics_inside_a_registered_environment_are_not_played_either() -> None:
    gymnasium.register("TestNormal-v0", lambda: wrappers.NormalizeObservation(toys.Toy(2, 1)))
    with pytest.raises(NotAtHand, match="NormalizeObservation of the environment TestNormal-v0 starts with empty"):
        as_spec("TestNormal-v0").make()
    del gymnasium.registry["TestNormal-v0"]


@pytest.mark.parametrize("kind", ["NormalizeObservation", "NormalizeReward"])
def test_statistics_that_start_empty_are_not_played(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    spec = as_spec(getattr(wrappers, kind)(gymnasium.make(toy(2, 1))))
    assert f"{kind} of the environment TestToy-v0 starts with empty statistics" in caplog.text  # said when loaded
    with pytest.raises(NotAtHand, match=f"{kind} of the environment TestToy-v0 starts with empty.*trust=True"):
        spec.make()
    spec.make(trust=True).close()


@pytest.mark.parametrize("word", ["no", "yes", 1, None, [True]])
def test_a_word_is_true_or_false(word: Any, marks: Marks) -> None:
    for call in (lambda: hopper(entry_point="evilmod:Env").make(trust=word), lambda: as_spec("Hopper-v5", trust=word)):
        with pytest.raises(TransferError, match="trust=.*True or False is needed"):
            call()
    assert marks() == set()
