"""The files of a run of the benchmarks: Markdown, CSV with every repeat, and a plot."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measuring.measure import Row
from benchmarks.measuring.models import Size
from benchmarks.sections import SECTIONS
from transfer.recipes.reports.canvas import save_png
from transfer.recipes.reports.plots import FROZEN
from transfer.recipes.reports.tables.csv_lines import dump_lines
from transfer.recipes.runs.versions import versions
from transfer.runtime.devices import best_precision, kernel_backend
from transfer.storage.files import write_text


@dataclass(frozen=True)
class RatioLine:
    """A line of ratios.csv: one case, and what it depends on besides the code.

    Attributes:
        ratio: scale * median(top) / median(bottom).
        low, high: smallest and largest ratio within one round.
        values: absolute values by name, with a semicolon between them.
        top, bottom: one number per round, with a space between them.
        quick: whether sizes were small.
    """

    section: str
    case: str
    ratio: float
    low: float
    high: float
    values: str
    scale: float
    top: str
    bottom: str
    device: str
    threads: int
    quick: bool
    precision: str
    kernels: str
    commit: str
    versions: str


def measure(name: str, size: Size, about: dict[str, Any]) -> list[RatioLine]:
    """Run one section. Raises `benchmarks.measuring.measure.Skip` where it cannot run."""
    return [ratio_line(name, row, about) for row in SECTIONS[name].rows(size)]


def ratio_line(section: str, row: Row, about: dict[str, Any]) -> RatioLine:
    """The line of one case."""
    values = "; ".join(f"{name} {value!r}" for name, value in row.values.items())
    rounds = [" ".join(map(repr, one)) for one in (row.top, row.bottom)]
    return RatioLine(section, row.name, row.ratio, *row.spread, values, row.scale, *rounds, **about)


def facts(threads: int, quick: bool) -> dict[str, Any]:
    """Processor, threads, precision, commit and versions, on which the figures depend."""
    packages = {**versions(), "transformers": _version("transformers")}
    return {
        "device": device_name(),
        "threads": threads,
        "quick": quick,
        "precision": str(best_precision(torch.device("cpu"))).removeprefix("torch."),
        "kernels": kernel_backend(),
        "commit": commit(),
        "versions": ", ".join(f"{name} {one}" for name, one in packages.items()),
    }


def device_name() -> str:
    """The processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The commit of this checkout, "+" behind it when files differ from it; "unknown" outside of git."""
    try:
        describe = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
        done = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def by_section(lines: Iterable[RatioLine]) -> dict[str, list[RatioLine]]:
    """Lines by the name of their section, in the order of the sections."""
    found = {name: [line for line in lines if line.section == name] for name in SECTIONS}
    return {name: some for name, some in found.items() if some}


def section_text(name: str, lines: Sequence[RatioLine], level: str = "##") -> str:
    """Markdown of one section: the ratio first, then the smallest and largest within a round, then absolute values."""
    values = [dict(one.rpartition(" ")[::2] for one in line.values.split("; ")) for line in lines]
    columns = list(dict.fromkeys(key for some in values for key in some))
    table = [
        f"| case | ratio | range |{''.join(f' {key} |' for key in columns)}",
        f"|---|---:|---:|{'---:|' * len(columns)}",
    ]
    for line, some in zip(lines, values, strict=True):
        cells = [_number(float(some[key])) if key in some else "" for key in columns]
        numbers = _number(line.ratio), f"{_number(line.low)} to {_number(line.high)}"
        table.append(f"| {' | '.join([line.case, *numbers, *cells])} |")
    return f"{level} {name}\n\n{meaning(name)}\n\n" + "\n".join(table) + "\n"


def meaning(name: str) -> str:
    """The first line of a section's docstring, which says what its ratios are."""
    return (SECTIONS[name].__doc__ or "").strip().splitlines()[0]


def _number(value: float) -> str:
    """Three significant digits, none of them lost before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(folder: Path, about: dict[str, Any], lines: Sequence[RatioLine], skipped: Sequence[str] = ()) -> None:
    """Write table.md, ratios.csv and ratios.png."""
    intro = f"{about['device']}, {about['threads']} thread(s), kernels in {about['kernels']}, commit {about['commit']}"
    note = "\n\nQuick sizes: that it runs, not how fast it is." if about["quick"] else ""
    text = "\n".join([*(section_text(name, some) for name, some in by_section(lines).items()), *skipped])
    write_text(folder / "table.md", f"# Benchmarks\n\n{intro}{note}\n\n{text}")
    write_text(folder / "ratios.csv", dump_lines(RatioLine, lines))
    plot(folder / "ratios.png", by_section(lines), intro)


def plot(file: Path, sections: dict[str, list[RatioLine]], title: str) -> None:
    """A bar per ratio, a panel per section; the line through a bar goes from the smallest to the largest of a round."""
    if not sections:  # all were skipped
        return
    counts = [len(lines) for lines in sections.values()]
    figure = Figure(figsize=(9, 1 + sum(0.7 + 0.28 * count for count in counts)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="medium")
    panels = figure.subplots(len(sections), 1, squeeze=False, height_ratios=[count + 2 for count in counts])[:, 0]
    for axes, (name, lines) in zip(panels, sections.items(), strict=True):
        places = range(len(lines))
        axes.barh(places, [line.ratio for line in lines], height=0.6, color=FROZEN, alpha=0.75)
        for place, line in zip(places, lines, strict=True):
            axes.plot([line.low, line.high], [place, place], color="black", linewidth=1.5)
        axes.set_yticks(places, [line.case for line in lines])
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(name, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, file)
