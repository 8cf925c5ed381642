"""Time the executors: six cells one after another on every core, and side by side on one core each.

python -m benchmarks.cells [--steps 1000] [--rounds 1] [--out DIR]

Each way makes the same run anew, `transfer run` and all; data are made before. The idle share is that of the time in
which workers neither trained nor played, start of the processes included.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODES = "embeddings,full,random-trunk:embeddings,scratch-adapt,mlp"  # and the pretraining: six cells
WAYS = {
    "one process, every core": lambda cores: ["--jobs", "1", "--threads", str(cores)],
    "a process and a core for each cell": lambda cores: ["--jobs", str(cores), "--threads", "1"],
}


def main(arguments: list[str] | None = None) -> None:
    """Time each way in turns, print and write a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-cells"))
    options = parser.parse_args(arguments)
    cores, found = os.cpu_count() or 1, []
    for round_ in range(options.rounds):
        for way, given in WAYS.items():
            with tempfile.TemporaryDirectory() as place:
                wall, cells, busy = once(given(cores), options.steps, Path(place))
            share = 1 - busy / wall / (cores if "each" in way else 1)
            found.append({"way": way, "round": round_, "seconds": wall, "cells": cells, "idle share": share})
            print(f"{way}: {wall:.0f} s for {cells} cells, {share:.1%} neither training nor playing", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "cells.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(found[0]))
        writer.writeheader()
        writer.writerows(found)


def once(given: list[str], steps: int, place: Path) -> tuple[float, int, float]:
    """Seconds of a whole run, its number of cells, and the seconds that these trained and played."""
    command = [sys.executable, "-m", "transfer.recipes", "run", "hopper-to-walker2d", "--quick", "--modes", MODES]
    command += ["--set", f"pretrain.steps={steps}", "--set", f"adapt.steps={steps}", "--runs-dir", str(place), *given]
    for name in ("pretrain", "adapt"):
        command += ["--set", f"{name}.save_every={min(500, steps)}", "--set", f"{name}.log_every={min(50, steps)}"]
    began = time.perf_counter()
    done = subprocess.run([*command, "--name", "run"], capture_output=True, text=True)
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    times = [json.loads(file.read_text()) for file in place.glob("run/*/*/timing.json")]
    shutil.rmtree(place / "run")
    return wall, len(times), sum(one["train_seconds"] + one["eval_seconds"] for one in times)


if __name__ == "__main__":
    main()
