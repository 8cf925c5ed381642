import io

import pytest

from transfer.numbers import duration
from transfer.recipes.watching.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(stream: io.StringIO, clock: Clock, steps: range, start: int = 0) -> list[str]:
    with Progress(100, "adapt", "steps", stream=stream, start=start, clock=clock) as progress:
        for step in steps:
            clock.now += 1.0
            progress.update(step, loss=1 / step, tokens_per_second=12345.6)
    return stream.getvalue().splitlines()


def test_plain_lines_come_every_ten_seconds_and_at_the_end() -> None:
    lines = work(io.StringIO(), Clock(), range(1, 101))
    assert len(lines) == 10
    assert lines[0] == "adapt: 10/100 steps (10%), 1 min 30 s left, loss 0.1, tokens per second 12,346"
    assert lines[-1] == "adapt: 100 steps in 1 min 40 s, loss 0.01, tokens per second 12,346"


def test_time_left_of_a_resumed_run_counts_only_new_work() -> None:
    lines = work(io.StringIO(), Clock(), range(51, 101), start=50)
    assert lines[0].startswith("adapt: 60/100 steps (60%), 40 s left")


def test_an_error_says_where_it_stopped() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(100, "adapt", stream=stream) as progress:
        progress.update(37)
        raise KeyboardInterrupt
    assert stream.getvalue() == "adapt: stopped at 37/100 steps (37%)\n"


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    work(stream, Clock(), range(1, 101))
    assert "\r" in stream.getvalue() and "100/100" in stream.getvalue() and "loss=0.01" in stream.getvalue()


def test_update_is_itself_a_callback_that_may_correct_the_total() -> None:
    stream = io.StringIO()
    with Progress(100, "make", stream=stream, interval=0) as progress:
        progress.update(50, 200)
    assert "50/200 steps (25%)" in stream.getvalue()


def test_work_that_never_began_says_nothing() -> None:
    stream = io.StringIO()
    with Progress(100, "make", stream=stream):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Gone(io.StringIO):
    """A terminal that can be closed, or whose reader can go away."""

    broken = False

    def isatty(self) -> bool:
        return super().isatty() or True

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError("nobody reads this any more")
        return super().write(text)


@pytest.mark.parametrize("when", ["before", "while"])
@pytest.mark.parametrize("how", ["closed", "broken", "none"])
def test_work_goes_on_without_a_stream(when: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Gone()

    def lose() -> None:
        stream.close() if how == "closed" else setattr(stream, "broken", True)

    if how == "none":
        monkeypatch.setattr("sys.stderr", None)
    elif when == "before":
        lose()
    with Progress(3, "train", stream=None if how == "none" else stream, interval=0.0) as progress:
        progress.update(1)
        if when == "while":
            lose()
        progress.update(2, loss=0.5)
        progress.update(3)
    assert progress.done == 3
