"""The measured tables of the documentation, made from docs/results: `make tables`.

A table stands between two comments in the Markdown, the first of which names it:

    <!-- table: few-scores (make tables) -->
    <!-- end of table -->

Everything between them is written by this program; whatever is around them is not touched.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import environments
from benchmarks.report import RatioLine, by_section, section_text
from transfer.recipes.reports.report import Report, report, table
from transfer.recipes.reports.rows import Pair, pairs
from transfer.recipes.reports.tables.csv_lines import read_lines

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("RESULTS", "ENVIRONMENTS", "PERFORMANCE")))
TABLE = re.compile(r"(<!-- table: (\S+) \(make tables\) -->\n).*?(<!-- end of table -->)", re.DOTALL)

# What the data of each run of docs/results/few are, and how its table calls the modes.
SIZES = {"2k": (2, 2_000), "10k": (12, 10_068), "200k": (253, 201_047)}
MODES = {
    "embeddings": "frozen trunk: `embeddings`",
    "full": "`full`",
    "random-trunk:embeddings": "frozen random trunk",
    "shuffled-trunk:embeddings": "frozen shuffled trunk",
    "mlp": "`mlp`, no trunk",
}
FEW = 5  # seeds of most rows; those with more have a star


@functools.cache
def measured(name: str) -> Report:
    """The report of a folder of docs/results."""
    return report([RESULTS / name])


def markdown(head: list[str], lines: list[list[str]], rule: str = "") -> str:
    """A Markdown table; `rule` is the line below its head where not every column is aligned to the left."""
    first, *rest = ["| " + " | ".join(line) + " |" for line in (head, *lines)]
    return "\n".join([first, rule or "|---" * len(head) + "|", *rest])


def few_scores() -> str:
    """Scores on less and less data: a line for each size, a column for each mode."""
    rows = {(row.run, row.mode): row for row in measured("few").rows}
    lines = []
    for run, (episodes, steps) in SIZES.items():
        line = [f"{episodes} episodes, {steps:,} steps"]
        for mode in MODES:
            row = rows[run, mode]
            low, high = row.score.interval or (np.nan, np.nan)
            line.append(f"{row.score.mean:.1f} ({low:.1f} to {high:.1f}){star(row.score.runs)}")
        lines.append(line)
    return markdown(["Walker2d data", *MODES.values()], lines)


def few_differences() -> str:
    """`embeddings` less each other mode: a line for each mode, a column for each size."""
    found = {(pair.row.run, pair.other.mode): pair for pair in pairs(measured("few").rows)}
    names = {mode: name.partition(",")[0] for mode, name in MODES.items() if mode != "embeddings"}
    lines = [[name, *(difference(found[run, mode]) for run in SIZES)] for mode, name in names.items()]
    return markdown(["`embeddings` less", *(f"{steps:,} steps" for _, steps in SIZES.values())], lines)


def difference(pair: Pair) -> str:
    """A difference with its interval and p."""
    (low, high), by = pair.by.interval, pair.by  # 1e-9: 0.125 is written 0.13
    return f"{by.mean:+.1f} ({low:+.1f} to {high:+.1f}), p = {by.p + 1e-9:.2f}{star(by.seeds)}"


def star(seeds: int) -> str:
    """A mark behind what has more seeds than the rest."""
    return "*" if seeds > FEW else ""


def short() -> str:
    """The report of the short trainings, where every row asks for the same."""
    return table(measured("short").rows, without=("asked", "return", "IQM interval"))


def longer() -> str:
    """The report of the longer trainings, without the single changes."""
    return table([row for row in measured("cpu").rows if row.run in ("dt", "spread")])


def changes() -> str:
    """Single changes of the longer training with spread tokens: the score of each."""
    cells = {
        (cell.line.run, played.first.checkpoint, played.first.decode): float(
            np.mean(cell.reference.score(np.asarray(played.returns)))
        )
        for record in measured("cpu").records
        for cell in record.cells
        for played in cell.evaluations
        if cell.line.mode == "embeddings" and cell.line.seed == 0
    }
    one, other = "autoregressive", "parallel"
    lines = {
        ("uniform bins", "quantile bins"): ("spread-uniform", "last", one),
        ("categorical readout, mean of the bins", "regression"): ("spread-categorical", "again", one),
        ("categorical readout, likeliest bin", "regression"): ("spread-categorical", "last", one),
        ("action table inherited from Hopper", "a new one"): ("spread-inherit", "last", one),
        ("parallel decoding (the paper's code)", "autoregressive decoding"): ("spread", "again", other),
    }
    head = ["change", "score", f"instead of {cells['spread', 'last', one]:.1f} with"]
    text = [[change, f"{cells[key]:.1f}", instead] for (change, instead), key in lines.items()]
    return markdown(head, text, "|---|---:|---|")


def bench() -> str:
    """Every ratio of `make bench`, section by section."""
    again = "Write it again with: make bench, and copy runs/bench here."
    lines = [line for _, line in read_lines(RatioLine, RESULTS / "bench" / "ratios.csv", again)]
    return "\n".join(section_text(name, some, "###") for name, some in by_section(lines).items()).rstrip()


TABLES: Mapping[str, Callable[[], str]] = {
    "few-scores": few_scores,
    "few-differences": few_differences,
    "short": short,
    "longer": longer,
    "changes": changes,
    "hammer": lambda: table(measured("hammer").rows),
    "methods": lambda: table(
        measured("methods").rows, without=("IQM interval", "trained", "% of model", "trunk unchanged")
    ),
    "lora": lambda: table(measured("lora").rows, without=("IQM interval",)),
    "three-bodies": lambda: table(measured("three-bodies").rows, without=("IQM interval",)),
    "bench": bench,
    "environments": lambda: environments.table(RESULTS / "environments"),
}


def filled(text: str) -> str:
    """A page with its tables made anew."""
    return TABLE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", text)


def main() -> None:
    """Make the tables of all pages anew."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(f"{page.relative_to(ROOT)} changed")


if __name__ == "__main__":
    main()
