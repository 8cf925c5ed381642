"""Playing the episodes of several adapters, one after another, on the trunk they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate_together
from transfer.models.adapter import Adapter
from transfer.models.mixed_model import MixedModel
from transfer.models.sequence_model import TransferModel
from transfer.recipes.programs.evaluate_path import Player, find_players
from transfer.recipes.settings.config import EvalConfig
from transfer.recipes.settings.target_names import from_adapter
from transfer.recipes.watching.progress import Progress
from transfer.storage.fingerprints import fingerprint


def evaluate_paths(
    paths: Sequence[Path],
    config: EvalConfig,
    device: str = "auto",
    trunk: Path | None = None,
    any_trunk: bool = False,
) -> dict[str, Any]:
    """Play episodes of adapters that were made on one trunk.

    Args:
        paths: MODE/SEED, trunk/SEED or adapter folders, two at least.
        config: episodes, targets, environments at a time, decode.
        device: where the model computes.
        trunk: folder of the trunk, where it does not lie in the runs.
        any_trunk: take `trunk` even for adapters made on another one of the same size.

    Returns:
        {"evaluations": [...]}, as `transfer.recipes.programs.evaluate_path.evaluate_path` gives them.

    Raises:
        TransferError: fewer than two adapters, one without a trunk or on another one.
    """
    players = [player for path in paths for player in find_players(path, device, trunk, any_trunk)]
    model = share(players)
    entries = []
    for target in config.targets:
        targets = {str(one.home): from_adapter(target, one.model.statistics) for one in players}
        with Progress(config.episodes * len(players), "together", "episodes") as progress:
            results = evaluate_together(
                model,
                config.episodes,
                target_returns=targets,
                num_envs=config.envs,
                decode=config.decode,
                on_episode=progress.update,
            )
        entries += [{"path": home, "checkpoint": "last", **result.to_json()} for home, result in results.items()]
    return {"evaluations": entries}


def share(players: Sequence[Player]) -> MixedModel:
    """The policies on one trunk, by the folders they come from.

    Raises:
        TransferError: as `evaluate_paths`.
    """
    if len({player.home.resolve() for player in players}) < max(2, len(players)):
        named = ", ".join(str(player.home) for player in players)
        raise TransferError(f"--together wants two or more different adapters, got {named}.")
    models = {str(player.home): player.model for player in players}
    prints: dict[str, str] = {}
    adapters: dict[str, Adapter] = {}
    for home, model in models.items():
        if not isinstance(model, TransferModel):
            raise TransferError(f"{home} holds a policy without a trunk, which cannot be played --together.")
        prints[home], adapters[home] = fingerprint(model.trunk), model.adapter
    if len(set(prints.values())) > 1:
        listed = "; ".join(f"{home}: {value}" for home, value in prints.items())
        raise TransferError(f"--together wants adapters of one trunk; the trunks differ: {listed}.")
    first = players[0].model
    assert isinstance(first, TransferModel)  # as all of them are
    return MixedModel(first.trunk, adapters)
