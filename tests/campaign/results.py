"""What came of all inputs: a table by family, and the failures with the commands that repeat them."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.engine import FAULTS, Verdict


@dataclass(frozen=True)
class Result:
    """An input and its verdict; `valid` where it has to be accepted."""

    family: str
    number: int
    title: str
    valid: bool
    verdict: Verdict

    @property
    def name(self) -> str:
        """FAMILY/N."""
        return f"{self.family}/{self.number}"


def table(results: Sequence[Result]) -> str:
    """Markdown: a row per family, counts of outcomes and of faults."""
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for one in results:
        for family in (one.family, "all"):
            rows[family].update(("inputs", one.verdict.outcome, *one.verdict.faults))
            rows[family]["valid"] += one.valid
    columns = ("inputs", "valid", "refused", "accepted", *FAULTS)
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    order = [*(family for family in rows if family != "all"), "all"]
    lines += [f"| {family} | {' | '.join(str(rows[family][column]) for column in columns)} |" for family in order]
    return "\n".join(lines)


def write(folder: Path, results: Sequence[Result], seed: int) -> Path:
    """Write the failures so far."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "failures.txt"
    file.write_text("\n".join(report(results, seed)), encoding="utf-8")
    return file


def report(results: Sequence[Result], seed: int) -> Iterator[str]:
    """The failures, those of one fault together."""
    for fault in FAULTS:
        some = [one for one in results if fault in one.verdict.faults]
        if some:
            yield f"# {fault}: {len(some)}\n"
        for one in some:
            said = one.verdict.faults[fault].strip() or "nothing"
            yield f"## {one.name}: {one.title}\npython -m tests.campaign --seed {seed} --input '{one.name}'"
            yield f"{said.splitlines()[-1]}\n\n{said}\n"
