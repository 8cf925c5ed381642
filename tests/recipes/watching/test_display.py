"""One display for several workers, and progress that is told elsewhere."""

import io
from typing import Any

from transfer.recipes.watching.display import Display
from transfer.recipes.watching.progress import Progress, showing


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def state(label: str, done: int, ended: str = "", **values: Any) -> dict[str, Any]:
    return {
        "label": label,
        "unit": "steps",
        "start": 0,
        "done": done,
        "total": 10,
        "values": values,
        "ended": ended,
    }


def test_progress_inside_is_told_and_not_shown() -> None:
    told: list[dict[str, Any]] = []
    stream = io.StringIO()
    times = iter(range(100))
    with showing(told.append), Progress(10, "train", "steps", stream, clock=lambda: next(times)) as progress:
        progress.update(4, loss=0.5)
    assert stream.getvalue() == ""
    assert [(one["done"], one["ended"]) for one in told] == [(0, ""), (4, ""), (4, "whole")]
    assert told[1]["values"] == {"loss": "0.5"} and told[1]["label"] == "train" and told[1]["total"] == 10
    with Progress(10, "train", "steps", stream) as progress:
        progress.update(10)
    assert "train: 10 steps in" in stream.getvalue()


def test_a_stop_is_told_as_one() -> None:
    told: list[dict[str, Any]] = []
    try:
        with showing(told.append), Progress(10, "train", "steps"):
            raise ValueError
    except ValueError:
        pass
    assert told[-1]["ended"] == "stopped"


def test_workers_have_a_line_each_when_their_work_ends_where_there_is_no_terminal() -> None:
    stream, lines = io.StringIO(), list[str]()
    display = Display(lines.append, stream)
    for done in (0, 5, 10):
        display.show(0, "progress", state("one", done, loss="0.5"))
        display.show(1, "progress", state("two", done))
    display.show(0, "progress", state("one", 10, "whole", loss="0.5"))
    display.show(1, "progress", state("two", 10, "stopped"))
    display.show(0, "say", {"line": "one: return 7"})
    assert "one: 10 steps in" in stream.getvalue() and "two: stopped at 10/10 steps (100%)" in stream.getvalue()
    assert lines == ["one: return 7"]


def test_workers_have_a_bar_each_on_a_terminal_and_lines_stay_above() -> None:
    terminal, lines = Terminal(), list[str]()
    display = Display(lambda line: (lines.append(line), terminal.write(line + "\n"))[0], terminal)
    display.show(0, "progress", state("one", 3))
    display.show(1, "progress", state("two", 6))
    display.show(1, "say", {"line": "two says"})
    shown = terminal.getvalue()
    assert "one:  30%" in shown and "two:  60%" in shown and lines == ["two says"]
    assert "\n" in shown[shown.index("one") : shown.index("two")]  # the second bar is below the first
    display.show(0, "progress", state("other", 1))  # other work in the same worker
    display.show(0, "progress", state("other", 10, "whole"))
    display.show(1, "progress", state("two", 10, "whole"))
    assert "other: 100%" in terminal.getvalue() and not display._bars
