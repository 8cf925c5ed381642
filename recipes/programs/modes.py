"""Modes: what adaptation trains and on which trunk, in one table without special cases elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from transfer import registry
from transfer.data.episodes import Episodes
from transfer.errors import TransferError, unknown
from transfer.models.provenance import Provenance
from transfer.models.steps.adapter_config import TUNING, AdapterConfig
from transfer.models.steps.method import Method
from transfer.models.trunk import DEFAULT_METHOD, Trunk, TrunkConfig
from transfer.numbers import seen
from transfer.registry import PartSpec
from transfer.runtime.memory import check_room
from transfer.runtime.seeding import seeded
from transfer.storage.fingerprints import fingerprint
from transfer.storage.snapshot import snapshot


@dataclass(frozen=True)
class Mode:
    """What trains, and on what.

    Attributes:
        name: as in configs and tables.
        parts: names of the parts that train; `EVERY_GROUP` stands for every group that is a part of the adapter,
            `EVERY_CONDITION` for the adapter's own copies of all modules that the method's conditions need.
        trunk: "pretrained" (frozen), "random", "scaled-random" or "shuffled" (frozen controls), "copy" (trained, from
            the pretrained weights), "own" (trained, from random weights) or "none".
        inherits: parts that are taken over from the source adapter; those of them that are no `parts` do not train.
        total_steps: train for pretraining + adaptation steps instead of adaptation steps.
        tuning: kind of the tuning, where the name of the mode tells it.
    """

    name: str
    parts: tuple[str, ...]
    trunk: str = "pretrained"
    inherits: tuple[str, ...] = ()
    total_steps: bool = False
    tuning: str = ""

    @property
    def frozen(self) -> bool:
        """Whether there is a trunk that must not change."""
        return self.trunk in ("pretrained", *CONTROLS)

    @property
    def needs_pretraining(self) -> bool:
        """Whether it needs a pretrained trunk (the controls take its seed or its shuffled weights)."""
        return self.trunk not in ("own", "none")


CONTROLS = ("random", "scaled-random", "shuffled")
EVERY_GROUP, EVERY_CONDITION = "groups", "conditions"
_EVERYTHING = ("trunk", EVERY_GROUP)
_FROZEN = (
    Mode("embeddings", (EVERY_GROUP,)),
    Mode("embeddings+tuning", (EVERY_GROUP, TUNING)),
    Mode("embeddings+conditioning", (EVERY_GROUP, EVERY_CONDITION)),
    Mode("state", ("state",), inherits=(EVERY_GROUP,)),
    Mode("tuning", (TUNING,), inherits=(EVERY_GROUP,)),
)
_TRAINED = (
    Mode("full", _EVERYTHING, "copy"),
    Mode("scratch-adapt", _EVERYTHING, "own"),
    Mode("scratch-total", _EVERYTHING, "own", total_steps=True),
    Mode("mlp", ("mlp",), "none"),
)
_CONTROLS = tuple(
    Mode(f"{kind}-trunk:{mode.name}", mode.parts, kind, mode.inherits) for kind in CONTROLS for mode in _FROZEN
)
MODES = {mode.name: mode for mode in (*_FROZEN, *_TRAINED, *_CONTROLS)}
GROUPS = {"scratch": ("scratch-adapt", "scratch-total")}


def find_mode(name: str) -> Mode:
    """A mode by its name; the kind of a tuning may stand in the place of the word, as in "embeddings+ia3" and "ia3".

    Raises:
        TransferError: an unknown name, with the closest one.
    """
    if name in MODES:
        return MODES[name]
    control, colon, own = name.rpartition(":")
    before, plus, kind = own.rpartition("+")
    general = f"{control}{colon}{before}{plus}{TUNING}"
    if kind not in registry.known(TUNING) or general not in MODES:
        shorthands = [f"embeddings+{kind}" for kind in registry.known(TUNING)]
        raise unknown("mode", name, [*GROUPS, *MODES, *shorthands, *registry.known(TUNING)])
    return replace(MODES[general], name=name, tuning=kind)


def with_tuning(mode: Mode, config: AdapterConfig, named: bool) -> AdapterConfig:
    """The config with the tuning that the name of a mode tells.

    Args:
        mode: whose name may tell one.
        config: kinds of parts.
        named: whether somebody named these kinds for this training; what a trunk or an adapter recorded gives way.

    Raises:
        TransferError: the config names another kind.
    """
    if not mode.tuning:
        return config
    if named and config.tuning is not None and config.tuning.kind != mode.tuning:
        raise TransferError(
            f"mode '{mode.name}' trains {mode.tuning}, adapter.tuning.kind is {config.tuning.kind}. Use mode "
            f"'{mode.name.removesuffix(mode.tuning)}{TUNING}', or leave the kind out."
        )
    same = config.tuning is not None and config.tuning.kind == mode.tuning
    return config if same else replace(config, tuning=PartSpec(mode.tuning))


def named(parts: Sequence[str], method: Method) -> tuple[str, ...]:
    """The parts of a mode with the names that a method has for them. Raises TransferError where there are none."""
    conditions = tuple(method.conditions())
    names = {EVERY_GROUP: tuple(name for name in method.groups if name not in conditions), EVERY_CONDITION: conditions}
    for part in parts:
        if not names.get(part, (part,)):
            raise TransferError(f"the method {type(method).__name__} has no {part} that a mode could train.")
    return tuple(name for part in parts for name in names.get(part, (part,)))


def find_modes(names: Sequence[str]) -> list[Mode]:
    """Modes by name; "scratch" stands for its two lengths of training.

    Raises:
        TransferError: an unknown name, with the closest one.
    """
    for name in names:
        if not isinstance(name, str):
            raise unknown("mode", name, [*GROUPS, *MODES])
    return [find_mode(one) for one in dict.fromkeys(one for name in names for one in GROUPS.get(name, (name,)))]


def new_trunk(config: TrunkConfig, seed: int, method: PartSpec = DEFAULT_METHOD) -> Trunk:
    """A trunk with random weights, a function of the seed, as a pretraining run starts from."""
    bytes_at_least = 4 * 12 * config.depth * config.width**2
    check_room(bytes_at_least, f"a trunk of {config}", torch.device("cpu"), "Lower trunk.width or trunk.depth.")
    with seeded(seed, "trunk"):
        trunk = Trunk(config, method)
    trunk.provenance = Provenance(seed=seed, start=fingerprint(trunk))
    return trunk


def trained_last(
    old: Provenance, episodes: Sequence[Episodes], kinds: AdapterConfig, training: Mapping[str, Any], start: str = ""
) -> Provenance:
    """The provenance of a trunk after a training.

    Args:
        old: before the training; `seed` and `start`, which name its very first weights, are kept.
        episodes: of the training, those of each environment.
        kinds: of the adapter's parts.
        training: mode, seed, steps and context.
        start: fingerprint before the training, where that was not the first one.
    """
    return Provenance(
        seed=old.seed,
        start=old.start,
        datasets=tuple(name for one in episodes for name in one.dataset_ids),
        content_hash=joint_hash([one.content_hash for one in episodes]),
        training=training,
        adapter=kinds.to_json(),
        before=old.as_before(start) if start and start != old.start else None,
    )


def joint_hash(hashes: Sequence[str]) -> str:
    """One hash of the data of several environments; that of one is its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def prepare_trunk(
    mode: Mode, pretrained: Trunk | None, config: TrunkConfig, seed: int, method: PartSpec = DEFAULT_METHOD
) -> Trunk:
    """The trunk of a mode: `pretrained` itself where it is frozen, else a copy or a new one.

    Raises:
        TransferError: the mode needs a pretrained trunk and there is none, or it does not name its first seed.
    """
    if mode.trunk == "own":
        return new_trunk(config, seed, method)
    if pretrained is None:
        raise TransferError(f"mode '{mode.name}' needs a pretrained trunk: pretrain one, or set pretrain.from.")
    if mode.trunk == "random":
        return _at_start(pretrained)
    if mode.trunk == "scaled-random":
        return scaled(_at_start(pretrained), pretrained)
    if mode.trunk == "shuffled":
        return shuffle(pretrained, seed)
    return snapshot(pretrained) if mode.trunk == "copy" else pretrained


def _at_start(pretrained: Trunk) -> Trunk:
    """The weights that the pretraining run had at step 0, checked by their fingerprint."""
    seed, start = pretrained.provenance.seed, pretrained.provenance.start
    if seed is None:
        raise TransferError("this trunk does not record the seed it started from, so random-trunk cannot be made.")
    trunk = new_trunk(pretrained.config, seed, pretrained.method)
    if trunk.provenance.start != start:
        raise TransferError(
            f"the random trunk of seed {seed} has fingerprint {trunk.provenance.start} here, the pretraining run "
            f"started from {seen(start)}: another version of torch drew it."
        )
    return trunk


def scaled(random: Trunk, pretrained: Trunk) -> Trunk:
    """Random weights with the norm that each tensor has in the pretrained trunk; tensors of zeros stay zero."""
    random.provenance = replace(random.provenance, before=pretrained.provenance.as_before(fingerprint(pretrained)))
    with torch.no_grad():
        for parameter, model in zip(random.parameters(), pretrained.parameters(), strict=True):
            norm = parameter.norm()
            parameter.mul_(torch.where(norm > 0, model.to(parameter.device).norm() / norm, 1.0))
    return random


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
