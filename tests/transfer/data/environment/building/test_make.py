"""Environments are built without chatter, without touching stderr, and the true cause is named where one is not."""

import contextlib
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.toys import Toy
from transfer.data.environment.building.make import build, spaces_of
from transfer.data.environment.spec import as_spec, gym_spec_json
from transfer.data.episodes import Episodes
from transfer.errors import NotAtHand
from transfer.runtime.logs import warn_once

ID = "TestBuilt-v0"


@pytest.fixture
def registered() -> Iterator[Any]:
    """registered(make): an id whose entry point is that function; its spec as JSON."""

    def register(make: Any) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gymnasium.register(ID, make, max_episode_steps=5)
        return gym_spec_json(ID)

    yield register
    gymnasium.registry.pop(ID, None)


def test_stderr_is_the_callers_while_an_environment_is_built(
    registered: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sys.stderr

    def make() -> Toy:
        assert sys.stderr is before
        # A simulator in a process of its own: what stands in for stderr has no file number.
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('from a process')"], stderr=sys.__stderr__)
        print("from the environment", file=sys.stderr)
        warnings.warn("from its authors", stacklevel=1)
        return Toy()

    with pytest.warns(UserWarning, match="from its authors"):
        build(registered(make)).close()
    assert "from a process" in (said := capfd.readouterr().err) and "from the environment" in said


def test_environments_are_built_in_threads(registered: Any) -> None:
    gate = threading.Barrier(4, timeout=10)  # all four have to be inside at once

    def make() -> Toy:
        gate.wait()
        return Toy()

    text, built = registered(make), list[Any]()
    threads = [threading.Thread(target=lambda: built.append(build(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 4


def test_warnings_of_a_running_simulation_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    here = set(Path.cwd().iterdir())
    with contextlib.closing(build(gym_spec_json("Hopper-v5"))) as env:
        env.reset(seed=0)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                env.unwrapped.data.qpos[:] = 1e30  # type: ignore[attr-defined]
                env.step(np.ones(3, np.float32))
    assert caplog.text.count("mujoco:") >= 1 and "WARNING" in caplog.text
    assert set(Path.cwd().iterdir()) == here  # no MUJOCO_LOG.TXT


def test_a_handler_of_the_callers_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    before = mujoco.get_mju_user_warning()
    try:
        mujoco.set_mju_user_warning(print)
        build(gym_spec_json("Hopper-v5")).close()
        assert mujoco.get_mju_user_warning() is print
    finally:
        mujoco.set_mju_user_warning(before)


def missing(name: str) -> Any:
    def make() -> Toy:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    return make


def inside(name: str) -> Any:
    def make() -> Toy:
        try:
            missing(name)()
        except ImportError as error:
            raise gymnasium.error.DependencyNotInstalled("something is missing") from error

    return make


def broken() -> Toy:
    raise ValueError("the robot is not plugged in")


@pytest.mark.parametrize(
    ("make", "said", "unsaid"),
    [
        (missing("my_physics"), "No module named 'my_physics'.*transfer --import my_physics", "mujoco"),
        (missing("mujoco"), r'No module named .mujoco.*pip install "gymnasium\[mujoco\]"', "--import"),
        (missing("gymnasium_robotics.envs"), "pip install .*gymnasium-robotics", "--import"),
        (inside("my_physics"), "No module named 'my_physics'.*transfer --import my_physics", "pip install gymn"),
        (broken, "ValueError: the robot is not plugged in$", "pip install"),
    ],
)
def test_the_true_cause_is_named(make: Any, said: str, unsaid: str, registered: Any) -> None:
    with pytest.raises(NotAtHand, match=f"cannot build the environment {ID}: .*{said}") as error:
        build(registered(make))
    assert unsaid not in str(error.value)


def test_data_train_without_their_environment_and_say_why_once(
    registered: Any, caplog: pytest.LogCaptureFixture
) -> None:
    registered(missing("my_physics"))
    rng, made = np.random.default_rng(0), []
    for _ in range(2):
        arrays = rng.normal(size=(12, 3)), rng.uniform(-1, 1, (12, 2)), rng.normal(size=12)
        made.append(Episodes.from_arrays(*arrays, [6, 6], ID))
    assert caplog.text.count("No module named 'my_physics'") == 1 and "scores do not" in caplog.text
    assert made[0].env_spec.action_low == (-np.inf,) * 2
    with pytest.raises(NotAtHand, match="my_physics"):
        made[0].env_spec.make()


def test_an_environment_that_can_be_there_once_is_asked_as_it_is(registered: Any) -> None:
    alive: list[Toy] = []

    def make() -> Toy:
        if alive:
            raise RuntimeError("there can be one only")
        alive.append(Toy(2, 1, low=-0.5, high=0.5))
        return alive[0]

    registered(make)
    spec = as_spec(gymnasium.make(ID))
    assert (spec.state_size, spec.action_low) == (2, (-0.5,))


def test_spaces_are_asked_once_a_process(registered: Any) -> None:
    built: list[int] = []

    def make() -> Toy:
        built.append(1)
        return Toy(2, 1)

    text = registered(make)
    for _ in range(3):
        assert spaces_of(text).low == (-1.0,)
    assert len(built) == 1
