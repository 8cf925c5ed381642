"""Windows of 20 steps a second: gathered from packed arrays, and sliced out of Minari's HDF5 file.

python -m benchmarks.sampling [bundled/walker2d/expert-v0] [--batch 64] [--repeats 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from transfer import Episodes, WindowSampler, load_episodes
from transfer.envs.bundled import make_dataset
from transfer.envs.names import data_path, is_local, resolve

CONTEXT = 20


def rate(draw: Callable[[int], object], windows: int, seconds: float = 0.5) -> float:
    """Windows a second of a function of the step that draws `windows` of them."""
    step, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        draw(step)
        step += 1
    return windows * step / (time.perf_counter() - began)


def slices(file: h5py.File, episodes: Episodes, sampler: WindowSampler) -> Callable[[int], object]:
    """The same windows, each read from the file of their episode."""
    groups = [file[f"episode_{index}"] for index in range(episodes.num_episodes)]

    def draw(step: int) -> list[tuple[np.ndarray, ...]]:
        first = sampler.starts(step).numpy()
        owner = np.searchsorted(episodes.offsets, first, side="right") - 1
        rows = [slice(start, start + CONTEXT) for start in first - episodes.offsets[owner]]
        keys = ("observations", "actions", "rewards")
        return [
            tuple(groups[index][key][part] for key in keys) for index, part in zip(owner.tolist(), rows, strict=True)
        ]

    return draw


def main() -> None:
    """Print one line of Markdown: medians over interleaved repeats, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="bundled/walker2d/expert-v0")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (dataset_id,) = resolve(options.dataset)
    if not is_local(dataset_id) and dataset_id.startswith("bundled/"):
        make_dataset("/".join(dataset_id.removesuffix("-v0").split("/")[1:]))
    episodes = load_episodes(dataset_id)
    sampler = WindowSampler(episodes, CONTEXT, options.batch)
    with h5py.File(Path(data_path(dataset_id)) / "main_data.hdf5") as file:
        ways = {"gather": sampler.batch, "HDF5 slices": slices(file, episodes, sampler)}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.repeats):
            for name, draw in ways.items():
                rates[name].append(rate(draw, options.batch))
    fast, slow = (statistics.median(rates[name]) for name in ways)
    print("| dataset | steps | batch | gathered windows/s | HDF5 slices, windows/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    print(
        f"| {dataset_id} | {episodes.num_steps:,} | {options.batch} | {fast:,.0f} | {slow:,.0f} | {fast / slow:.0f} |"
    )


if __name__ == "__main__":
    main()
