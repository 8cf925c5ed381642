"""A tour of datasets: each checked, loaded, replayed through tokens, adapted to for a few steps, and played.

python -m benchmarks.environments TRUNK OUT ID... [--steps 200] [--episodes 20] [--replays 10]

TRUNK is a trunk/SEED folder of a run. OUT/datasets.csv and OUT/replays.csv are written as soon as an ID is done,
which is not done again; `make tables` makes the table of docs/ENVIRONMENTS.md from them. It is a test that everything
works on real data, not a comparison: so few steps teach little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer import Episodes, TrainConfig, Trunk, adapt, evaluate, load_episodes
from transfer.data.environment.observations import summary
from transfer.envs.checks.doctor import check_dataset
from transfer.errors import TransferError
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.recipes.ceiling.ceiling import ceiling
from transfer.recipes.ceiling.ceiling_report import CeilingReport, CeilingRow
from transfer.recipes.reports.markdown_tables import number
from transfer.recipes.reports.tables.csv_lines import dump_lines, read_lines
from transfer.recipes.runs.versions import versions
from transfer.runtime.memory import peak_bytes
from transfer.storage.files import write_text

BINS = (64, 256)
AGAIN = "Remove the folder, and make it again with python -m benchmarks.environments."


@dataclass(frozen=True)
class DatasetLine:
    """A line of datasets.csv.

    Attributes:
        state, actions: what a policy sees, in words, and how many numbers it gives.
        table, minimum, maximum: reference scores, and the returns of score 0 and 100 where it was replayed.
        behaviour_score: mean over the dataset's episodes.
        codes: what the check found.
        replayed, skipped, not_replayed: episodes whose actions were played again, how many were skipped and why, and
            why none could be.
        score, return_, success: of the adapted policy.
        steps, action: of the adaptation.
    """

    dataset: str
    environment: str
    state: str
    actions: int
    episodes: int
    data_steps: int
    table: str
    minimum: float | None
    maximum: float | None
    behaviour_score: float
    content_hash: str
    codes: str
    replayed: int
    skipped: str
    not_replayed: str
    score: float
    return_: float
    success: float | None
    steps: int
    action: str
    trunk_unchanged: bool
    check_seconds: float
    load_seconds: float
    ceiling_seconds: float
    adapt_seconds: float
    play_seconds: float
    peak_memory_bytes: int
    versions: str

    @property
    def seconds(self) -> float:
        """Of everything."""
        return self.check_seconds + self.load_seconds + self.ceiling_seconds + self.adapt_seconds + self.play_seconds


@dataclass(frozen=True)
class OfDataset:
    """The first column of replays.csv."""

    dataset: str


@dataclass(frozen=True)
class ReplayLine(CeilingRow, OfDataset):
    """A line of replays.csv: a row of the tokenizer ceiling of a dataset."""


def tour(dataset_id: str, trunk: Trunk, options: argparse.Namespace) -> tuple[DatasetLine, list[ReplayLine]]:
    """Everything about one dataset, with the seconds that each part took."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[f"{name}_seconds"] = time.perf_counter() - began
        return result

    checkup = timed("check", lambda: check_dataset(dataset_id))
    episodes = timed("load", lambda: load_episodes(dataset_id))
    replay = timed("ceiling", lambda: ceilings(dataset_id, options.replays))
    config = TrainConfig(steps=options.steps, batch_size=32, log_every=50, save_every=50)
    action = AdapterConfig(action=options.action)
    result = timed("adapt", lambda: adapt(trunk, episodes, "embeddings", config=config, adapter_config=action))
    played = timed("play", lambda: evaluate(result.model, num_episodes=options.episodes))
    report = replay if isinstance(replay, CeilingReport) else None
    found = DatasetLine(
        dataset=dataset_id,
        **about(episodes),
        codes=", ".join(f"{one.severity} {one.code}" for one in checkup.findings),
        replayed=report.episodes if report else 0,
        skipped="; ".join(f"{reason} ({count})" for reason, count in report.skipped.items()) if report else "",
        not_replayed="" if report else replay,
        score=float(played.scores.mean()),
        return_=float(played.returns.mean()),
        success=played.success_rate,
        steps=options.steps,
        action=options.action,
        trunk_unchanged=result.before == result.after,
        **seconds,
        peak_memory_bytes=peak_bytes() or 0,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
    )
    return found, [ReplayLine(dataset_id, **asdict(one)) for one in report.lines] if report else []


def about(episodes: Episodes) -> dict[str, Any]:
    """Environment, sizes, reference scores and hash of a dataset."""
    spec, returns = episodes.env_spec, episodes.returns
    return {
        "environment": spec.gym_id,
        "state": summary(spec.slices),
        "actions": spec.action_size,
        "episodes": episodes.num_episodes,
        "data_steps": episodes.num_steps,
        "table": spec.reference.table,
        "minimum": spec.reference.minimum,
        "maximum": spec.reference.maximum,
        "behaviour_score": float(np.mean(spec.reference.score(returns))),
        "content_hash": episodes.content_hash,
    }


def ceilings(dataset_id: str, replays: int) -> CeilingReport | str:
    """The score of the data replayed as they are, and through quantile tokens; why not, where they cannot be."""
    try:
        return ceiling(dataset_id, BINS, ("quantile",), replays)
    except TransferError as error:
        return str(error)


HEAD = [
    "| dataset | environment | state | actions | episodes | behaviour | replayed | 64 bins | 256 bins | 200 steps "
    "| success | seconds | found |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
]


def row(found: DatasetLine, replays: Sequence[ReplayLine]) -> str:
    """One line of Markdown; scores by the table of the environment, a ceiling as held / without looking."""
    cells = [found.dataset, found.environment, found.state, f"{found.actions}", f"{found.episodes:,}"]
    cells.append(f"{found.behaviour_score:.1f} ({found.table})")
    mine = {(one.tokenizer, one.bins): one for one in replays if one.dataset == found.dataset}
    if mine:
        cells.append(f"{mine['raw replay', None].score:.1f}")
        cells += [f"{number(one.held_score)} / {one.score:.1f}" for (_, bins), one in mine.items() if bins]
    else:
        cells += ["-", "-", "-"]
    codes = [code.partition(" ")[2] for code in found.codes.split(", ") if not code.startswith("note")]
    cells += [f"{found.score:.1f}", number(found.success, 2), f"{found.seconds:.0f}", ", ".join(codes) or "-"]
    return "| " + " | ".join(cells) + " |"


def read(folder: Path) -> tuple[list[DatasetLine], list[ReplayLine]]:
    """The lines of a folder's CSV files, none where they are not written yet."""
    if not (folder / "datasets.csv").exists():
        return [], []
    datasets = [line for _, line in read_lines(DatasetLine, folder / "datasets.csv", AGAIN)]
    return datasets, [line for _, line in read_lines(ReplayLine, folder / "replays.csv", AGAIN)]


def table(folder: Path) -> str:
    """The Markdown table of a folder."""
    datasets, replays = read(folder)
    return "\n".join([*HEAD, *(row(one, replays) for one in datasets)])


def main() -> None:
    """Go through the datasets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trunk", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("ids", nargs="+")
    for name, value in (("steps", 200), ("episodes", 20), ("replays", 10), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--action", default="ActionEmbedding")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trunk, (datasets, replays) = Trunk.load(options.trunk), read(options.out)
    for dataset_id in options.ids:
        if dataset_id not in {one.dataset for one in datasets}:
            found, played = tour(dataset_id, trunk, options)
            datasets, replays = [*datasets, found], [*replays, *played]
            write_text(options.out / "replays.csv", dump_lines(ReplayLine, replays))
            write_text(options.out / "datasets.csv", dump_lines(DatasetLine, datasets))
    print(table(options.out))


if __name__ == "__main__":
    main()
