"""Windows a second: gathered from packed arrays, over sliced out of Minari's HDF5 file.

The file has Minari's layout and holds made-up episodes of 200 steps with Walker2d's sizes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from benchmarks.measuring.measure import Row, rounds
from benchmarks.measuring.models import Size, episodes
from transfer import Episodes, WindowSampler

LAYOUT = "Walker2d"


def rows(size: Size) -> list[Row]:
    """One row."""
    data = episodes(LAYOUT, size.draw_episodes)
    sampler = WindowSampler(data, size.context, size.batch)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "main_data.hdf5", data)
        with h5py.File(Path(folder) / "main_data.hdf5") as file:
            draws = {"gathered": sampler.batch, "sliced": slices(file, data, sampler)}
            ways = {name: partial(rate, draw, size.batch, size.draw_seconds) for name, draw in draws.items()}
            rates = rounds(ways, size.repeats)
    values = {f"{name}, windows/s": statistics.median(rates[name]) for name in ways}
    return [Row(LAYOUT, rates["gathered"], rates["sliced"], values=values)]


def write(path: Path, data: Episodes) -> None:
    """An HDF5 file as Minari writes it: a group per episode, arrays in chunks."""
    arrays = {"observations": data.states, "actions": data.actions, "rewards": data.rewards}
    with h5py.File(path, "w") as file:
        for index, (first, last) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
            group = file.create_group(f"episode_{index}")
            for key, array in arrays.items():
                group.create_dataset(key, data=array[first:last], chunks=True)


def rate(draw: Callable[[int], object], windows: int, seconds: float) -> float:
    """Windows a second of a function of the step that draws `windows` of them."""
    step, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        draw(step)
        step += 1
    return windows * step / (time.perf_counter() - began)


def slices(file: h5py.File, data: Episodes, sampler: WindowSampler) -> Callable[[int], object]:
    """The same windows, each read from the file of their episode."""
    groups = [file[f"episode_{index}"] for index in range(data.num_episodes)]

    def draw(step: int) -> list[tuple[np.ndarray, ...]]:
        first = sampler.starts(step).numpy()
        owner = np.searchsorted(data.offsets, first, side="right") - 1
        parts = [slice(start, start + sampler.context) for start in first - data.offsets[owner]]
        keys = ("observations", "actions", "rewards")
        return [
            tuple(groups[index][key][part] for key in keys) for index, part in zip(owner.tolist(), parts, strict=True)
        ]

    return draw
