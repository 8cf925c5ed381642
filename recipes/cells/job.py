"""A run that was prepared, as whoever trains or plays a cell opens it: settings, data and device, from its folder."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.recipes.runs.datasets import Data, Say, load
from transfer.recipes.runs.used import TARGET, Used, read_used, source_key
from transfer.recipes.settings.config import RunConfig, config_table, load_config
from transfer.recipes.settings.pretrained import find_trunk
from transfer.recipes.settings.sections import DataConfig
from transfer.runtime.devices import find_device

KEPT = 8  # bodies whose data this process keeps at hand
_kept: OrderedDict[str, Data] = OrderedDict()


@dataclass(frozen=True)
class Job:
    """A run that is ready to begin.

    Attributes:
        config: its settings, as config.toml has them.
        folder: of the run.
        device: where it computes.
        say: takes lines for people.
        used: its data, by key of `[used]`.
    """

    config: RunConfig
    folder: Path
    device: torch.device
    say: Say
    used: Mapping[str, Used] = field(repr=False)

    @cached_property
    def target(self) -> Data:
        """The data of the target."""
        return self._data(TARGET, self.config.target)

    @cached_property
    def sources(self) -> dict[str, Data]:
        """The data of each source by its name."""
        count = len(self.config.source)
        keys = {source_key(number, count): one for number, one in enumerate(self.config.source)}
        return {self.used[key].name: self._data(key, one) for key, one in keys.items() if key in self.used}

    def _data(self, key: str, data: DataConfig) -> Data:
        if key not in self.used:
            raise TransferError(f"{self.folder / 'config.toml'} names no data that [{key}] came to mean: it was edited")
        return kept_data(key, data, self.used[key], self.config)

    def trunk_home(self, seed: int) -> Path:
        """The folder with the pretrained trunk of a seed."""
        origin = self.config.pretrain.from_
        return find_trunk(Path(origin), seed) if origin else self.folder / "trunk" / str(seed)


def open_job(folder: Path, device: str, say: Say) -> Job:
    """The job of a run folder with a whole config.toml.

    Raises:
        TransferError: it is damaged, or there is no such device.
    """
    path = folder / "config.toml"
    return Job(load_config(str(path)), folder, find_device(device), say, read_used(path))


def kept_data(key: str, data: DataConfig, used: Used, config: RunConfig) -> Data:
    """The data of a body, which this process keeps for the next cell.

    Raises:
        TransferError: as `transfer.recipes.runs.datasets.load`.
    """
    name = _name(key, used, config)
    if name not in _kept:
        keep(key, used, config, load(key, data, used.data, used, lambda line: None, config.run.held_out))
    _kept.move_to_end(name)
    return _kept[name]


def keep(key: str, used: Used, config: RunConfig, data: Data) -> None:
    """Keep the data of a body that were loaded already."""
    _kept[_name(key, used, config)] = data
    while len(_kept) > KEPT:
        _kept.popitem(last=False)


def _name(key: str, used: Used, config: RunConfig) -> str:
    """What decides the data of a body: its settings, what they came to mean, and whether some are held out."""
    section, _, number = key.partition(".")
    table = config_table(config)[section]
    own = table[int(number) - 1] if number else table
    return json.dumps([own, used.to_json(), config.run.held_out], sort_keys=True, default=str)


def held_out(data: Mapping[str, Data]) -> dict[str, Episodes]:
    """The episodes that are held out, by the name of their policy."""
    return {name: one.held_out for name, one in data.items() if one.held_out is not None}
