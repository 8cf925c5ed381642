"""One episode of a policy as a GIF."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping
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
from transfer.storage.files import write_bytes

FRAMES_PER_SECOND = 30
SCREEN = " MuJoCo draws without a screen with MUJOCO_GL=egl (Debian: apt install libegl1) or MUJOCO_GL=osmesa."


def render(model: PolicyModel, ask: Mapping[str, Any], decode: str, file: Path, spec: EnvironmentSpec) -> None:
    """Write one episode, seed 10000, as an endless GIF; a link at `file` is followed.

    Args:
        model: the policy.
        ask: what the policy is asked for, by name.
        decode: see `transfer.decoding.planner.make_planner`.
        file: to write.
        spec: the environment to play in.

    Raises:
        TransferError: the environment cannot be built, drawn or played, or is of another body than the model's.
    """
    import imageio.v3 as imageio

    check_body(model.env_spec, spec, "the adapter")
    with _quiet_collection(), contextlib.closing(spec.make(render_mode="rgb_array")) as env:
        frames = _frames(env, Policy(model, ask=ask, decode=decode), spec)
    stream = io.BytesIO()
    imageio.imwrite(stream, np.stack(frames), extension=".gif", duration=1000 / FRAMES_PER_SECOND, loop=0)
    write_bytes(file.resolve(), stream.getvalue())


def _frames(env: Any, policy: Policy, spec: EnvironmentSpec) -> list[NDArray[np.uint8]]:
    """The frames (H, W, 3) of one episode."""
    frames: list[NDArray[np.uint8]] = []
    paid: float | None = None
    _follow(env)
    slot = Slot(env, spec, alone=True)
    state: NDArray[Any] | None = slot.reset(FIRST_SEED)
    while state is not None and policy.steps < spec.max_episode_steps:
        if len(frames) * 2 <= policy.steps:  # every second step: the simulator runs at 60 or more a second
            frames.append(_frame(env, spec.name))
            if frames[-1].shape != frames[0].shape:
                first, other = (frame.shape[:2] for frame in (frames[0], frames[-1]))
                raise TransferError(f"no video: '{spec.name}' draws {first} pixels at first, {other} later.")
        state, paid, _ = slot.step(policy.act(state, paid))
    return frames


def _frame(env: Any, name: str) -> NDArray[np.uint8]:
    """What an environment draws, (H, W, 3). Raises TransferError where it cannot draw, with the way out that fits."""
    from gymnasium.error import DependencyNotInstalled

    try:
        drawn = env.render()
    except Exception as error:  # rendering raises whatever the graphics library does
        # A missing package is named by the error itself; otherwise MuJoCo lacks a screen.
        package = isinstance(error, ImportError | DependencyNotInstalled)
        hint = "" if package or getattr(env.unwrapped, "mujoco_renderer", None) is None else SCREEN
        raise TransferError(f"no video: {type(error).__name__}: {str(error).strip().rstrip('.')}.{hint}") from error
    frame = np.asarray(drawn)
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
        modes = getattr(env.unwrapped, "metadata", {}).get("render_modes", [])
        raise TransferError(
            f"no video: '{name}' draws {seen(drawn)}, no picture of (height, width, 3) bytes; its render modes are "
            f"{seen(modes)}, and a video needs rgb_array."
        )
    return frame


def _follow(env: Any) -> None:
    """Look through the model's camera "track", where it has one: Gymnasium 1.4 films from a fixed point otherwise."""
    renderer, model = (getattr(env.unwrapped, name, None) for name in ("mujoco_renderer", "model"))
    if renderer is not None and model is not None:
        import mujoco

        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = camera if camera != -1 else renderer.camera_id


@contextlib.contextmanager
def _quiet_collection() -> Iterator[None]:
    """Inside, a viewer that could not be opened does not report itself again when it is collected."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before
