"""What a spec in JSON leaves to the registration, and arguments that no file can hold."""

import contextlib
import json
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests import toys
from tests.toys import toy
from tests.transfer.data.environment.building.stored import hopper
from transfer.data.environment.spec import EnvironmentSpec, as_spec, gym_spec_json
from transfer.errors import NotAtHand, TransferError


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
