"""Two commits against each other: seconds of a training step, an `act`, a step of 100 environments, `transfer --help`.

python -m benchmarks.commits OLD NEW [--rounds N] [--core N]

Each commit is checked out into a temporary folder and timed in a process of its own. The two take turns on one core,
and each round swaps who goes first, so that a noisy machine hits both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.commits.checkouts import checkout
from benchmarks.measuring.measure import seconds

CHILD = Path(__file__).with_name("timed_commit.py")
HELP = "transfer --help"
NAMES = ("training step, frozen", "training step, full", "act", "step of 100 environments", "step of 100 Hoppers", HELP)
Pairs = list[tuple[float, float]]
Timer = Callable[[str], float]


def main(arguments: list[str] | None = None) -> None:
    """Time two commits and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", help="commit that the other one is compared with")
    parser.add_argument("new", help="commit whose seconds are the numerator")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of each figure (default: 15)")
    parser.add_argument("--core", type=int, default=min(usable_cores()), help="core that everything runs on")
    options = parser.parse_args(arguments)
    if options.rounds < 2 or options.core not in usable_cores():
        parser.error(f"--rounds wants 2 or more; --core one of {sorted(usable_cores())}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})  # inherited by the children
    with tempfile.TemporaryDirectory(prefix="commits-") as name, ExitStack() as stack:
        timers = [stack.enter_context(timer(Path(name), commit)) for commit in (options.old, options.new)]
        print(table(take_turns(timers, options.rounds), options.old, options.new))


def usable_cores() -> set[int]:
    """The cores this process may run on."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else {0}


def take_turns(timers: Sequence[Timer], rounds: int) -> dict[str, Pairs]:
    """Seconds of old and new for each name, one pair a round; a first round is thrown away."""
    found: dict[str, Pairs] = {name: [] for name in NAMES}
    for done in range(rounds + 1):
        order = (0, 1) if done % 2 else (1, 0)
        for name in NAMES:
            taken = {which: timers[which](name) for which in order}
            if done:
                found[name].append((taken[0], taken[1]))
    return found


def table(found: dict[str, Pairs], old: str, new: str) -> str:
    """Markdown: median milliseconds of both, then median and quartiles of new / old within a round."""
    lines = [f"| | {old}, ms | {new}, ms | ratio | quartiles |", "|---|---:|---:|---:|---:|"]
    for name, pairs in found.items():
        low, middle, high = statistics.quantiles([new / old for old, new in pairs], n=4, method="inclusive")
        before, after = (1000 * statistics.median(one) for one in zip(*pairs, strict=True))
        lines.append(f"| {name} | {before:.3f} | {after:.3f} | {middle:.3f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)


@contextmanager
def timer(folder: Path, commit: str) -> Iterator[Timer]:
    """A function that has one commit timed: name of a figure -> seconds."""
    with checkout(folder, commit) as place:
        env = {
            **os.environ,
            "PYTHONPATH": str(place),
            "XDG_CACHE_HOME": str(place / ".cache"),  # each builds kernels of its own
            "OMP_NUM_THREADS": "1",
        }
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(place)],
            cwd=place, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdin is not None and child.stdout is not None

        def ask(name: str) -> float:
            if name == HELP:
                command = [sys.executable, "-m", "transfer.recipes", "--help"]
                return seconds(lambda: subprocess.run(command, cwd=place, env=env, check=True, capture_output=True))
            print(name, file=child.stdin, flush=True)
            answer = child.stdout.readline()
            if not answer:
                raise SystemExit(f"{commit}: the process that times '{name}' ended; what it said is above")
            return float(answer)

        try:
            yield ask
        finally:
            child.stdin.close()
            child.wait()
            child.stdout.close()
