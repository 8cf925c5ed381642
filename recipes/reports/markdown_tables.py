"""Tables in Markdown, numbers as they stand in them, and marks for those that are not there."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from transfer.recipes.reports.escaping import markdown

Line = TypeVar("Line")
Column = tuple[str, Callable[[Line], str], bool]
"""Head, text of a line, and whether the column is wanted."""
LEFT = ("run", "environment", "mode", "less", "decode", "training", "trunk unchanged", "tokenizer")


class Marks:
    """The footnotes of a table: a field without a value has the number of its reason, and equal reasons share one."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, *reasons: str) -> str:
        """The numbers of some reasons, as (1)(2)."""
        return "".join(f"({self.numbers.setdefault(one, len(self.numbers) + 1)})" for one in reasons)

    def empty(self, *reasons: str) -> str:
        """A field without a value."""
        return f"- {self(*reasons)}"

    @property
    def lines(self) -> list[str]:
        """The reasons, as a paragraph below the table; [] where no field was empty."""
        told = [f"({number}) {markdown(reason)}" for reason, number in self.numbers.items()]
        return ["", f"{'; '.join(told)}."] if told else []


def lay_out(columns: Sequence[Column[Line]], lines: Sequence[Line], left: Collection[str] = LEFT) -> str:
    """A table of the columns that are wanted; those of `left` are aligned to the left."""
    wanted = [column for column in columns if column[2]]
    written = [[head for head, _, _ in wanted], ["---" if head in left else "---:" for head, _, _ in wanted]]
    written += [[markdown(cell(line)) for _, cell, _ in wanted] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in written)


def number(value: float | None, digits: int = 1) -> str:
    """A number, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def span(interval: tuple[float, float] | None) -> str:
    """An interval, or a dash for none."""
    return "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
