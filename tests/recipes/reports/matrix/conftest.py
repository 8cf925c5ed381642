"""Matrices made of invented results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.tables.matrix_folder import write_matrix_report

Key = tuple[str, str, int]
CONFIG = '[matrix]\nsources = [[["hopper/expert"]]]\n'


@dataclass
class Matrix:
    """A matrix in a folder: points are added, then cells at them, then the report is written."""

    folder: Path
    make_cell: Callable[..., Path]

    def __post_init__(self) -> None:
        self.points: list[Coordinates] = []
        self.planned: list[Key] = []
        self.reasons: dict[Key, str] = {}

    def point(
        self, source: str = "hopper", target: str = "walker2d", method: str = "dt", size: int = 0, **axes: Any
    ) -> str:
        """Add a point; its label."""
        label = "-".join(map(str, (source, target, method, size, *axes.values()))).replace("/", "_")
        named = {name.replace("__", "."): value for name, value in axes.items()}
        self.points.append(Coordinates(label, source, target, method, size, named))
        return label

    def cells(self, label: str, mode: str, scores: Sequence[float | Sequence[float]], **changes: Any) -> None:
        """Add a cell for each seed, with the scores of its episodes."""
        for seed, one in enumerate(scores):
            self.planned.append((label, mode, seed))
            episodes = [one, one] if isinstance(one, int | float) else one
            self.make_cell(mode, seed, [10.0 * score for score in episodes], run=f"m/{label}", **changes)

    def gap(self, label: str, mode: str, seed: int = 0, reason: str = "") -> None:
        """Plan a cell that has no results."""
        self.planned.append((label, mode, seed))
        if reason:
            self.reasons[label, mode, seed] = reason

    def write(self, **options: Any) -> str:
        """Write the report; its text."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.toml").write_text(CONFIG)
        return write_matrix_report(self.folder, self.points, self.planned, self.reasons, **options).read_text()


@pytest.fixture(scope="session")
def making_matrix_in(making_cells_in) -> Callable[[Path], Matrix]:
    """making_matrix_in(folder): an empty matrix in folder/m."""
    return lambda folder: Matrix(folder / "m", making_cells_in(folder))


@pytest.fixture
def matrix(making_matrix_in, tmp_path: Path) -> Matrix:
    """An empty matrix in the folder m."""
    return making_matrix_in(tmp_path)


@pytest.fixture(scope="session")
def table() -> Callable[..., list[dict[str, str]]]:
    """table(markdown, "## head"): the lines of the first table behind a text, each by column."""

    def read(markdown: str, behind: str = "# ") -> list[dict[str, str]]:
        rest = markdown[markdown.index(behind) :].splitlines()
        begin = next(place for place, line in enumerate(rest) if line.startswith("|"))
        end = next(place for place, line in enumerate([*rest, ""]) if place > begin and not line.startswith("|"))
        head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in rest[begin:end]]
        return [dict(zip(head, line, strict=True)) for line in lines]

    return read


@pytest.fixture(scope="session")
def row(table) -> Callable[..., Mapping[str, str]]:
    """row(markdown, mode="full"): the one line of the first table with these fields."""

    def find(markdown: str, behind: str = "# ", **fields: str) -> Mapping[str, str]:
        found = [one for one in table(markdown, behind) if all(one[name] == value for name, value in fields.items())]
        assert len(found) == 1, found
        return found[0]

    return find
