"""Playing episodes with what a run left behind: a run, one of its MODE/SEED folders, or an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer.data.environment.spec import as_spec
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter, check_pair
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.runs.cells import next_command, policy_file
from transfer.recipes.settings.config import EvalConfig, load_config
from transfer.recipes.settings.target_names import from_adapter
from transfer.recipes.watching.film import render
from transfer.recipes.watching.progress import Progress
from transfer.runtime.devices import find_device
from transfer.storage.files import read_json


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
        path: a run folder (all its finished cells), a MODE/SEED or trunk/SEED folder, or an adapter's or MLP's folder.
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
            spec = player.model.env_spec if env is None else as_spec(env, like=player.model.env_spec)
            render(player.model, targets[0], config.decode, video, spec)
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
    if not playable and (path / "trunk.json").is_file():
        raise TransferError(
            f"{path} holds a trunk, and no adapter.json: an adapter is needed here, or a run with some. The trunk goes "
            f"beside it: transfer eval ADAPTER --trunk {path}"
        )
    if not playable:
        raise TransferError(f"{path} holds no trained adapter. {next_command(path)}. What is at hand: transfer ls")
    for home in playable:
        yield _load(home, device, trunk, any_trunk)


def _load(home: Path, device: str, trunk: Path | None, any_trunk: bool) -> Player:
    file, where = policy_file(home), find_device(device)
    if file is None or file.name == "mlp.json":
        return Player(home, MLPPolicy.load(home if file is None else file.parent).to(where))
    adapter = Adapter.load(file.parent, any_trunk=any_trunk)
    found = Trunk.load(trunk or locate_trunk(home, str(adapter.provenance.trunk)))
    check_pair(found, adapter, any_trunk, str(file.parent))
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
