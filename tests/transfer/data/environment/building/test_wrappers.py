"""Wrappers of a spec: Gymnasium's own, those of a registered entry point, and those that cannot be built again."""

import contextlib
import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, utils, wrappers

from tests import toys
from tests.toys import toy
from tests.transfer.data.environment.building.stored import Marks, around, hopper
from transfer.data.environment.building.parsing import parsed
from transfer.data.environment.building.wrappers import wrapped
from transfer.data.environment.spec import EnvironmentSpec, as_spec
from transfer.errors import NotAtHand


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
