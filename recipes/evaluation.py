"""Playing episodes with what a run left behind: a run, one of its MODE/SEED folders, or an adapter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.adapter import Adapter
from transfer.base import PolicyModel
from transfer.devices import find_device
from transfer.errors import NotAtHand, TransferError
from transfer.files import read_json
from transfer.mlp import MLPPolicy
from transfer.model import TransferModel
from transfer.playing import FIRST_SEED
from transfer.policy import Policy
from transfer.progress import Progress
from transfer.recipes.asked import from_adapter
from transfer.recipes.cells import next_command, policy_file
from transfer.recipes.config import EvalConfig, load_config
from transfer.recipes.gif import write_gif
from transfer.rollout import evaluate
from transfer.trunk import Trunk

FRAMES_PER_SECOND = 30


@dataclass(frozen=True)
class Player:
    """A policy from disk: where it was, and the model."""

    home: Path
    model: PolicyModel


def evaluate_path(
    path: Path,
    config: EvalConfig,
    device: str = "auto",
    video: Path | None = None,
    trunk: Path | None = None,
    any_trunk: bool = False,
    env: str | None = None,
) -> dict[str, Any]:
    """Play episodes.

    Args:
        path: a run folder (all its finished cells), a MODE/SEED or trunk/SEED folder, or an adapter folder.
        config: episodes, targets, environments, decode.
        device: where the model computes.
        video: write a GIF of one episode of the first target here.
        trunk: folder of the adapter's trunk, where it does not lie in the adapter's run.
        any_trunk: take `trunk` even when the adapter was made on another one of the same size.
        env: id of the environment to play in; default: the adapter's own.

    Returns:
        {"evaluations": [...]}: an entry of a results file for each policy and target, with its "path".

    Raises:
        TransferError: nothing to play at `path`, no trunk for an adapter, an unknown target, no rendering.
    """
    entries = []
    for player in find_players(path, device, trunk, any_trunk):
        targets = [from_adapter(target, player.model.statistics) for target in config.targets]
        if video is not None:
            film(player, targets[0], config.decode, video)
            video = None
        for target in targets:
            with Progress(config.episodes, str(player.home), "episodes") as progress:
                result = evaluate(
                    player.model,
                    env,
                    num_episodes=config.episodes,
                    target_return=target,
                    num_envs=config.envs,
                    decode=config.decode,
                    on_episode=progress.update,
                )
            entries.append({"path": str(player.home), "checkpoint": "last", **result.to_json()})
    return {"evaluations": entries}


def find_players(path: Path, device: str, trunk: Path | None = None, any_trunk: bool = False) -> Iterator[Player]:
    """The policies that a path means.

    Raises:
        TransferError: there is none, or it cannot be loaded.
    """
    homes = [path]
    if (path / "config.toml").is_file():
        homes = sorted(folder for folder in path.glob("*/*") if folder.name.isdigit())
    elif (path / "adapter.json").is_file():
        homes = [path.parent] if path.name == "adapter" else [path]
    playable = [home for home in homes if policy_file(home) is not None]
    if not playable:
        raise TransferError(f"{path} holds no trained adapter. {next_command(path)}. What is at hand: transfer ls")
    for home in playable:
        yield _load(home, device, trunk, any_trunk)


def _load(home: Path, device: str, trunk: Path | None, any_trunk: bool) -> Player:
    file, where = policy_file(home), find_device(device)
    if file is None or file.name == "mlp.json":
        return Player(home, MLPPolicy.load(home / "mlp").to(where))
    folder, wanted = file.parent, read_json(file).get("trunk")
    found = Trunk.load(trunk or locate_trunk(home, str(wanted)))
    adapter = Adapter.load(folder, found, any_trunk)
    training = adapter.record.get("training", {})  # there is none when another program than `adapt` trained it
    if type(training.get("context", 20) if isinstance(training, dict) else None) is not int:
        raise TransferError(f"{folder / 'adapter.json'} was edited: its training record is {training!r:.200}.")
    return Player(home, TransferModel(found, adapter).to(where).eval())


def locate_trunk(home: Path, fingerprint: str) -> Path:
    """The folder of the trunk with this fingerprint: beside the adapter, in its run, or where the run took it from.

    Raises:
        TransferError: there is none.
    """
    run, seed = home.resolve().parent.parent, home.resolve().name
    candidates = [home / "trunk", *sorted(run.glob("trunk/*/trunk"))]
    if (run / "config.toml").is_file() and seed.isdigit():
        origin = load_config(str(run / "config.toml")).pretrain.from_
        candidates += [Path(origin) / "trunk" / seed / "trunk", Path(origin) / "trunk"] if origin else []
    for folder in candidates:
        if (folder / "trunk.json").is_file() and read_json(folder / "trunk.json").get("fingerprint") == fingerprint:
            return folder
    raise TransferError(
        f"the trunk {fingerprint} that {home} was made on is neither there nor in its run. Name its folder: "
        f"transfer eval {home} --trunk FOLDER"
    )


def film(player: Player, target: float, decode: str, file: Path) -> None:
    """Write one episode, seed 10000, as a GIF.

    Raises:
        TransferError: MuJoCo cannot render here.
    """
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None  # a viewer that could not be opened complains once more when it is collected
    try:
        frames, problem = record(player, target, decode)
    finally:
        sys.unraisablehook = before
    if problem:
        raise TransferError(
            f"no video: {problem}. MuJoCo renders without a screen with MUJOCO_GL=egl (Debian: apt install libegl1) or "
            "MUJOCO_GL=osmesa."
        )
    write_gif(file, np.stack(frames), FRAMES_PER_SECOND)


def record(player: Player, target: float, decode: str) -> tuple[list[NDArray[np.uint8]], str]:
    """The frames (H, W, 3) of one episode, and why there are none, "" when there are."""
    frames: list[NDArray[np.uint8]] = []
    env = None
    try:
        env = player.model.env_spec.make(render_mode="rgb_array")
        follow(env)
        policy = Policy(player.model, target_return=target, decode=decode)
        state, reward, over = env.reset(seed=FIRST_SEED)[0], None, False
        while not over:
            if len(frames) * 2 <= policy.steps:  # every second frame: the simulator runs at 60 or more a second
                frames.append(np.asarray(env.render()))
            state, gained, terminated, truncated, _ = env.step(policy.act(state, reward))
            reward, over = float(gained), terminated or truncated
    except NotAtHand:
        raise
    except Exception as error:  # rendering raises whatever the graphics library does
        return [], f"{type(error).__name__}: {str(error).rstrip('.')}"
    finally:
        if env is not None:
            env.close()
    return frames, ""


def follow(env: Any) -> None:
    """Look through the model's camera "track", where it has one: Gymnasium 1.4 films from a fixed point otherwise."""
    import mujoco

    renderer, model = (getattr(env.unwrapped, name, None) for name in ("mujoco_renderer", "model"))
    if renderer is not None and model is not None:
        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = camera if camera != -1 else renderer.camera_id
