"""A tour of datasets: each checked, loaded, replayed through tokens, adapted to for a few steps, and played.

python -m benchmarks.environments TRUNK OUT ID... [--steps 200] [--episodes 20] [--replays 10]

TRUNK is a trunk/SEED folder of a run. OUT/ID.json is written as soon as an ID is done, and is not done again;
OUT/table.md holds a row for each. It is a test that everything works on real data, not a comparison: so few steps teach
little.
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer import Episodes, TrainConfig, Trunk, adapt, evaluate, load_episodes
from transfer.data.environment.observations import summary
from transfer.envs.checks.doctor import check_dataset
from transfer.errors import TransferError
from transfer.models.adapter import AdapterConfig
from transfer.recipes.ceiling import ceiling
from transfer.recipes.markdown_tables import number
from transfer.recipes.versions import versions
from transfer.storage.files import read_json, write_json, write_text

BINS = (64, 256)


def tour(dataset_id: str, trunk: Trunk, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one dataset, with the seconds that each part took."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    checkup = timed("check", lambda: check_dataset(dataset_id))
    episodes = timed("load", lambda: load_episodes(dataset_id))
    replay = timed("ceiling", lambda: ceilings(dataset_id, options.replays))
    config = TrainConfig(steps=options.steps, batch_size=32, log_every=50, save_every=50)
    action = AdapterConfig(action=options.action)
    result = timed("adapt", lambda: adapt(trunk, episodes, "embeddings", config=config, adapter_config=action))
    played = timed("play", lambda: evaluate(result.model, num_episodes=options.episodes))
    return {
        "dataset": dataset_id,
        **about(episodes),
        "codes": [f"{one.severity} {one.code}" for one in checkup.findings],
        "ceiling": replay,
        "score": float(played.scores.mean()),
        "return": float(played.returns.mean()),
        "success": played.success_rate,
        "steps": options.steps,
        "action": options.action,
        "trunk_unchanged": result.before == result.after,
        "seconds": seconds,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": versions(),
    }


def about(episodes: Episodes) -> dict[str, Any]:
    """What the data are."""
    spec, returns = episodes.env_spec, episodes.returns
    return {
        "environment": spec.gym_id,
        "state": summary(spec.slices),
        "actions": spec.action_size,
        "episodes": episodes.num_episodes,
        "data_steps": episodes.num_steps,
        "table": spec.reference.table,
        "behaviour_score": float(np.mean(spec.reference.score(returns))),
        "content_hash": episodes.content_hash,
    }


def ceilings(dataset_id: str, replays: int) -> dict[str, Any] | str:
    """The score of the data replayed as they are, and through quantile tokens; why not, where they cannot be."""
    try:
        report = ceiling(dataset_id, BINS, ("quantile",), replays)
    except TransferError as error:
        return str(error)
    return report.to_json()


HEAD = [
    "| dataset | environment | state | actions | episodes | behaviour | replayed | 64 bins | 256 bins | 200 steps "
    "| success | seconds | found |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
]


def row(found: dict[str, Any]) -> str:
    """One line of Markdown; scores by the table of the environment, a ceiling as held / without looking."""
    replay = found["ceiling"]
    cells = [found["dataset"], found["environment"], found["state"], f"{found['actions']}", f"{found['episodes']:,}"]
    cells.append(f"{found['behaviour_score']:.1f} ({found['table']})")
    if isinstance(replay, str):
        cells += ["-", "-", "-"]
    else:
        cells.append(f"{replay['replayed']['score']:.1f}")
        cells += [f"{number(one['held_score'])} / {one['score']:.1f}" for one in replay["rows"]]
    codes = [code.partition(" ")[2] for code in found["codes"] if not code.startswith("note")]
    cells += [f"{found['score']:.1f}", number(found["success"], 2), f"{sum(found['seconds'].values()):.0f}"]
    return "| " + " | ".join([*cells, ", ".join(codes) or "-"]) + " |"


def main() -> None:
    """Go through the datasets, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trunk", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("ids", nargs="+")
    for name, value in (("steps", 200), ("episodes", 20), ("replays", 10), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--action", default="ActionEmbedding")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trunk, rows = Trunk.load(options.trunk), []
    for dataset_id in options.ids:
        file = options.out / f"{dataset_id.replace('/', '-')}.json"
        if not file.is_file():
            write_json(file, tour(dataset_id, trunk, options))
        rows.append(read_json(file))
        print(row(rows[-1]), flush=True)
    write_text(options.out / "table.md", "\n".join([*HEAD, *map(row, rows), ""]))


if __name__ == "__main__":
    main()
