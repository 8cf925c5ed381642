"""Code that files name is neither imported nor called, unless it is registered or a user permits it."""

import contextlib
import json
import sys
from typing import Any

import gymnasium
import pytest

from tests import toys
from tests.transfer.data.environment.building.stored import Marks, around, hopper
from transfer.data.environment.building.trust import trusting
from transfer.data.environment.spec import EnvironmentSpec, as_spec
from transfer.errors import NotAtHand, TransferError

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


def test_an_environment_for_many_at_once_is_named() -> None:
    gymnasium.register("TestMany-v0", vector_entry_point="evilmod:Env")
    with pytest.raises(NotAtHand, match="TestMany-v0 is registered for many at once only"):
        as_spec("TestMany-v0")
    del gymnasium.registry["TestMany-v0"]


@pytest.mark.parametrize("word", ["no", "yes", 1, None, [True]])
def test_a_word_is_true_or_false(word: Any, marks: Marks) -> None:
    for call in (lambda: hopper(entry_point="evilmod:Env").make(trust=word), lambda: as_spec("Hopper-v5", trust=word)):
        with pytest.raises(TransferError, match="trust=.*True or False is needed"):
            call()
    assert marks() == set()
