"""Play episodes with saved policies: of a run, one of its MODE/SEED folders, or an adapter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transfer.data.environment.spec import EnvironmentSpec, as_spec
from transfer.errors import TransferError
from transfer.evaluation.evaluate import check_playable, evaluate
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter, check_pair
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.recipes.runs.cells import ADAPTERS, begun, next_command, policy_file, raw_text, whole_parts
from transfer.recipes.settings.sections import EvalConfig
from transfer.recipes.settings.target_names import of_adapter
from transfer.recipes.watching.film import render
from transfer.recipes.watching.progress import Progress
from transfer.runtime.devices import find_device
from transfer.storage.files import read_json
from transfer.storage.fingerprints import fingerprint

Saved = tuple[Path, PolicyModel]
"""A policy and the folder that it was saved in."""


def evaluate_paths(
    paths: Sequence[Path],
    config: EvalConfig,
    device: str = "auto",
    *,
    together: bool = False,
    video: Path | None = None,
    trunk: Path | None = None,
    any_trunk: bool = False,
    env: str | None = None,
) -> dict[str, Any]:
    """Play episodes with every policy, one after another, after all have been loaded and their environments built once.

    Args:
        paths: run folders (all finished cells), MODE/SEED or trunk/SEED folders, folders of adapters or MLPs.
        config: episodes, what is asked for, environments, decode.
        device: where the model computes.
        together: the policies have to be two or more adapters of one trunk; their entries are sorted by entry of `ask`.
        video: write a GIF of one episode of the first policy and entry of `ask` here.
        trunk: folder of the adapters' trunk, where it is not in their run.
        any_trunk: take `trunk` even for adapters that were made on another one of the same size.
        env: id of the environment to play in; default: the adapter's own.

    Returns:
        {"evaluations": [...]}: an entry of a results file for each policy and entry of `ask`, with its "path".

    Raises:
        TransferError: nothing to play at a path, no trunk for an adapter, what a policy cannot be asked for, no
            rendering; `together`, fewer than two adapters, or adapters of several trunks.
    """

    def policies() -> Iterator[Saved]:  # one at a time, for memory
        return (one for path in paths for one in find_policies(path, device, trunk, any_trunk))

    _check_all(policies(), config, env)
    if together:
        _check_one_trunk(policies())
    entries: list[list[dict[str, Any]]] = []
    for home, model in policies():
        asks = _asks(model, config)
        if video is not None and not entries:
            render(model, asks[0], config.decode, video, _environment(model, env))
        entries.append([_play(home, model, ask, config, env) for ask in asks])
    in_order = zip(*entries, strict=True) if together else entries
    return {"evaluations": [entry for some in in_order for entry in some]}


def _asks(model: PolicyModel, config: EvalConfig) -> list[dict[str, Any]]:
    """What a policy is asked for by each entry, in raw values. Raises TransferError for what it does not take."""
    asks = [of_adapter(ask, model.statistics) for ask in config.ask]
    for ask in asks:
        model.asked(ask)
    return asks


def _environment(model: PolicyModel, env: str | None) -> EnvironmentSpec:
    return model.env_spec if env is None else as_spec(env, like=model.env_spec)


def _check_all(policies: Iterable[Saved], config: EvalConfig, env: str | None) -> None:
    """Raise TransferError, before any has played, for what it cannot be asked or an environment not to be had."""
    checked = set[tuple[EnvironmentSpec, EnvironmentSpec]]()
    for _, model in policies:
        _asks(model, config)
        pair = model.env_spec, _environment(model, env)
        if pair not in checked:
            check_playable(model, pair[1])
        checked.add(pair)


def _play(home: Path, model: PolicyModel, ask: dict[str, Any], config: EvalConfig, env: str | None) -> dict[str, Any]:
    with Progress(config.episodes, str(home), "episodes") as progress:
        result = evaluate(
            model,
            env,
            num_episodes=config.episodes,
            ask=ask,
            num_envs=config.envs,
            decode=config.decode,
            on_episode=progress.update,
        )
    return {"path": str(home), "checkpoint": "last", **result.to_json(), "asked": result.asked}


def _check_one_trunk(policies: Iterable[Saved]) -> None:
    """Raise TransferError unless the policies are two or more different adapters of one trunk."""
    found = list(policies)
    if len({home.resolve() for home, _ in found}) < max(2, len(found)):
        named = ", ".join(str(home) for home, _ in found)
        raise TransferError(f"--together wants two or more different adapters, got {named}.")
    prints = {}
    for home, model in found:
        if not isinstance(model, TransferModel):
            raise TransferError(f"{home} holds a policy without a trunk, which cannot be played --together.")
        prints[home] = fingerprint(model.trunk)
    if len(set(prints.values())) > 1:
        listed = "; ".join(f"{home}: {value}" for home, value in prints.items())
        raise TransferError(f"--together wants adapters of one trunk; the trunks differ: {listed}.")


def find_policies(path: Path, device: str, trunk: Path | None = None, any_trunk: bool = False) -> Iterator[Saved]:
    """The policies at a path, each loaded when it is its turn.

    Raises:
        TransferError: there is none, or it cannot be loaded.
    """
    homes = [path]
    if (path / "config.toml").is_file():
        homes = [part for name in begun(path) for part in whole_parts(path / name)]
    elif (path / ADAPTERS).is_dir():
        homes = whole_parts(path)
    elif (path / "adapter.json").is_file():
        homes = [path.parent] if path.name == "adapter" else [path]
    files = {home: file for home in homes if (file := policy_file(home)) is not None}
    if not files and (path / "trunk.json").is_file():
        raise TransferError(
            f"{path} holds a trunk, and no adapter.json: an adapter is needed here, or a run with some. The trunk goes "
            f"beside it: transfer eval ADAPTER --trunk {path}"
        )
    if not files:
        raise TransferError(f"{path} holds no trained adapter. {next_command(path)}. What is at hand: transfer ls")
    where = find_device(device)
    for home, file in files.items():
        if file.name == "mlp.json":
            yield home, MLPPolicy.load(file.parent).to(where)
            continue
        adapter = Adapter.load(file.parent, any_trunk=any_trunk)
        found = Trunk.load(trunk or _locate_trunk(home, file.parent, str(adapter.provenance.trunk)))
        check_pair(found, adapter, any_trunk, str(file.parent))
        yield home, TransferModel(found, adapter).to(where).eval()


def _locate_trunk(home: Path, adapter: Path, fingerprint: str) -> Path:
    """The folder of the trunk with this fingerprint: beside the adapter, in its run, or where the run took it from.

    Raises:
        TransferError: there is none.
    """
    real = adapter.resolve()  # "." or a link may stand for MODE/SEED/adapter
    cell = real.parent if real.name == "adapter" else real
    run, seed = cell.parent.parent, cell.name
    candidates = [home / "trunk", cell / "trunk", *sorted(run.glob("trunk/*/trunk"))]
    candidates += [run / "trunk"] if cell.parent.name == ADAPTERS else []  # of one of several sources
    if (run / "config.toml").is_file() and seed.isdigit():
        origin = raw_text(run / "config.toml", "pretrain.from")
        candidates += [Path(origin) / "trunk" / seed / "trunk", Path(origin) / "trunk"] if origin else []
    damaged = ""
    for file in (folder / "trunk.json" for folder in candidates):
        try:
            if file.is_file() and read_json(file).get("fingerprint") == fingerprint:
                return file.parent
        except TransferError as error:  # of another seed, perhaps
            damaged = damaged or f" {error}"
    raise TransferError(
        f"the trunk {fingerprint} that {home} was made on is neither there nor in its run.{damaged} Name its folder: "
        f"transfer eval {home} --trunk FOLDER"
    )
