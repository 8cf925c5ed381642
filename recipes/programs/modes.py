"""Modes: what adaptation trains and on which trunk, in one table without special cases elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from transfer.data.episodes import Episodes
from transfer.errors import TransferError, unknown
from transfer.models.adapter import AdapterConfig
from transfer.models.provenance import Provenance
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.numbers import seen
from transfer.runtime.memory import check_room
from transfer.runtime.seeding import seeded
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import snapshot


@dataclass(frozen=True)
class Mode:
    """One mode of adaptation: the parts that train, and their trunk.

    Attributes:
        name: as in configs and tables.
        parts: names of the parts that train.
        trunk: "pretrained" (frozen), "random" or "shuffled" (frozen controls), "copy" (trained, from the pretrained
            weights), "own" (trained, from random weights) or "none".
        inherits: parts that are taken over from the source adapter and do not train.
        total_steps: train for pretraining + adaptation steps instead of adaptation steps.
    """

    name: str
    parts: tuple[str, ...]
    trunk: str = "pretrained"
    inherits: tuple[str, ...] = ()
    total_steps: bool = False

    @property
    def frozen(self) -> bool:
        """Whether there is a trunk that must not change."""
        return self.trunk in ("pretrained", "random", "shuffled")

    @property
    def needs_pretraining(self) -> bool:
        """Whether it needs a pretrained trunk (the controls take its seed or its shuffled weights)."""
        return self.trunk not in ("own", "none")


_EVERYTHING = ("trunk", "state", "action")
_FROZEN = (
    Mode("embeddings", ("state", "action")),
    Mode("embeddings+ia3", ("state", "action", "ia3")),
    Mode("embeddings+conditioning", ("state", "action", "conditioning")),
    Mode("state", ("state",), inherits=("action",)),
    Mode("ia3", ("ia3",), inherits=("state", "action")),
)
_TRAINED = (
    Mode("full", _EVERYTHING, "copy"),
    Mode("scratch-adapt", _EVERYTHING, "own"),
    Mode("scratch-total", _EVERYTHING, "own", total_steps=True),
    Mode("mlp", ("mlp",), "none"),
)
_CONTROLS = tuple(
    Mode(f"{kind}-trunk:{mode.name}", mode.parts, kind, mode.inherits)
    for kind in ("random", "shuffled")
    for mode in _FROZEN
)
MODES = {mode.name: mode for mode in (*_FROZEN, *_TRAINED, *_CONTROLS)}
GROUPS = {"scratch": ("scratch-adapt", "scratch-total")}


def find_modes(names: Sequence[str]) -> list[Mode]:
    """Modes by name; "scratch" stands for its two lengths of training.

    Raises:
        TransferError: an unknown name, with the closest one.
    """
    for name in names:
        if not isinstance(name, str) or name not in (*GROUPS, *MODES):
            raise unknown("mode", name, [*GROUPS, *MODES])
    single = [one for name in names for one in GROUPS.get(name, (name,))]
    return [MODES[name] for name in dict.fromkeys(single)]


def new_trunk(config: TrunkConfig, seed: int) -> Trunk:
    """A trunk with random weights, a function of the seed, as a pretraining run starts from."""
    bytes_at_least = 4 * 12 * config.depth * config.width**2
    check_room(bytes_at_least, f"a trunk of {config}", torch.device("cpu"), "Lower trunk.width or trunk.depth.")
    with seeded(seed, "trunk"):
        trunk = Trunk(config)
    trunk.provenance = Provenance(seed=seed, start=fingerprint(trunk))
    return trunk


def trained_last(
    old: Provenance, episodes: Episodes, kinds: AdapterConfig, training: Mapping[str, Any], start: str = ""
) -> Provenance:
    """The provenance of a trunk after a training.

    Args:
        old: before the training; `seed` and `start`, which name its very first weights, are kept.
        episodes: of the training.
        kinds: of the adapter's parts.
        training: mode, seed, steps and context.
        start: fingerprint before the training, where that was not the first one.
    """
    return Provenance(
        seed=old.seed,
        start=old.start,
        datasets=episodes.dataset_ids,
        content_hash=episodes.content_hash,
        training=training,
        adapter=asdict(kinds),
        before=old.as_before(start) if start and start != old.start else None,
    )


def prepare_trunk(mode: Mode, pretrained: Trunk | None, config: TrunkConfig, seed: int) -> Trunk:
    """The trunk of a mode: `pretrained` itself where it is frozen, else a copy or a new one.

    Raises:
        TransferError: the mode needs a pretrained trunk and there is none, or it does not name its first seed.
    """
    if mode.trunk == "own":
        return new_trunk(config, seed)
    if pretrained is None:
        raise TransferError(f"mode '{mode.name}' needs a pretrained trunk: pretrain one, or set pretrain.from.")
    if mode.trunk == "random":
        return _at_start(pretrained)
    if mode.trunk == "shuffled":
        return shuffle(pretrained, seed)
    return snapshot(pretrained) if mode.trunk == "copy" else pretrained


def _at_start(pretrained: Trunk) -> Trunk:
    """The weights that the pretraining run had at step 0, checked by their fingerprint."""
    seed, start = pretrained.provenance.seed, pretrained.provenance.start
    if seed is None:
        raise TransferError("this trunk does not record the seed it started from, so random-trunk cannot be made.")
    trunk = new_trunk(pretrained.config, seed)
    if trunk.provenance.start != start:
        raise TransferError(
            f"the random trunk of seed {seed} has fingerprint {trunk.provenance.start} here, the pretraining run "
            f"started from {seen(start)}: another version of torch drew it."
        )
    return trunk


def shuffle(pretrained: Trunk, seed: int) -> Trunk:
    """A copy with the values of each tensor in random order: same statistics, nothing learned."""
    trunk = snapshot(pretrained)
    before = pretrained.provenance.as_before(fingerprint(pretrained))
    trunk.provenance = Provenance(shuffled={"seed": seed}, before=before)
    with seeded(seed, "shuffled-trunk"), torch.no_grad():
        for parameter in trunk.parameters():
            order = torch.randperm(parameter.numel()).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return trunk
