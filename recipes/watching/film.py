"""One episode of a policy as a GIF."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.data.environment.belonging import check_body
from transfer.data.environment.spec import EnvironmentSpec
from transfer.errors import TransferError
from transfer.evaluation.policy import Policy
from transfer.evaluation.rollout import FIRST_SEED
from transfer.evaluation.slots import Slot
from transfer.models.acting import PolicyModel
from transfer.numbers import seen
from transfer.recipes.watching.gif import write_gif

FRAMES_PER_SECOND = 30
SCREEN = " MuJoCo draws without a screen with MUJOCO_GL=egl (Debian: apt install libegl1) or MUJOCO_GL=osmesa."


def render(model: PolicyModel, target: float, decode: str, file: Path, spec: EnvironmentSpec) -> None:
    """Write one episode, seed 10000, as a GIF.

    Args:
        model: who acts.
        target: raw return to ask for.
        decode: see `transfer.decoding.planner.make_planner`.
        file: where to.
        spec: the environment to play in.

    Raises:
        TransferError: the environment cannot be built, drawn or played, or is of another body than the model's.
    """
    check_body(model.env_spec, spec, "the adapter")
    with _quiet_collection(), contextlib.closing(spec.make(render_mode="rgb_array")) as env:
        frames = record(env, Policy(model, target_return=target, decode=decode), spec)
    write_gif(file, np.stack(frames), FRAMES_PER_SECOND)


def record(env: Any, policy: Policy, spec: EnvironmentSpec) -> list[NDArray[np.uint8]]:
    """The frames (H, W, 3) of one episode. Raises TransferError as `render`."""
    frames: list[NDArray[np.uint8]] = []
    paid: float | None = None
    follow(env)
    slot = Slot(env, spec, alone=True)
    state: NDArray[Any] | None = slot.reset(FIRST_SEED)
    while state is not None and policy.steps < spec.max_episode_steps:
        if len(frames) * 2 <= policy.steps:  # every second frame: the simulator runs at 60 or more a second
            frames.append(picture(env, spec.name))
        state, paid, _ = slot.step(policy.act(state, paid))
    return frames


def picture(env: Any, name: str) -> NDArray[np.uint8]:
    """What an environment draws, (H, W, 3).

    Raises:
        TransferError: it cannot draw here, with the way out that fits; or what it draws is no picture.
    """
    from gymnasium.error import DependencyNotInstalled

    try:
        drawn = env.render()
    except Exception as error:  # rendering raises whatever the graphics library does
        # A package that is missing is named by the error itself; what else MuJoCo lacks is a screen.
        package = isinstance(error, ImportError | DependencyNotInstalled)
        hint = "" if package or getattr(env.unwrapped, "mujoco_renderer", None) is None else SCREEN
        raise TransferError(f"no video: {type(error).__name__}: {str(error).strip().rstrip('.')}.{hint}") from error
    frame = np.asarray(drawn)
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
        modes = getattr(env.unwrapped, "metadata", {}).get("render_modes", [])
        raise TransferError(
            f"no video: '{name}' draws {seen(drawn)}, no picture of (height, width, 3) bytes; its render modes are "
            f"{seen(modes)}, and a video needs rgb_array."
        )
    return frame


def follow(env: Any) -> None:
    """Look through the model's camera "track", where it has one: Gymnasium 1.4 films from a fixed point otherwise."""
    renderer, model = (getattr(env.unwrapped, name, None) for name in ("mujoco_renderer", "model"))
    if renderer is not None and model is not None:
        import mujoco

        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = camera if camera != -1 else renderer.camera_id


@contextlib.contextmanager
def _quiet_collection() -> Iterator[None]:
    """Inside, a viewer that could not be opened does not complain once more when it is collected."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before
