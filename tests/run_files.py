"""Reading what a run left behind, for the tests of runs."""

import csv
import json
from pathlib import Path
from typing import Any


def cell(run: Path, mode: str, seed: int = 0) -> Path:
    return run / ("trunk" if mode == "pretrain" else mode.replace(":", "-")) / str(seed)


def results(run: Path, mode: str, seed: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((cell(run, mode, seed) / "results.json").read_text(encoding="utf-8"))
    return content


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "report.csv").read_text(encoding="utf-8").splitlines()))
