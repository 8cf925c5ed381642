"""Findings of the checks.

A check is a function of the survey that yields severity, message and advice of each finding. The code of its findings
is its name with dashes, and the first line of its docstring says what the code means.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Found = Iterator[tuple[Severity, str, str]]


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Attributes:
        code: name of the check, such as "no-episodes".
        severity: "error": results would be wrong; "warning": they may mislead; "note": good to know.
        message: one line: the fault, with the values seen.
        advice: one line: what to do.
    """

    code: str
    severity: Severity
    message: str
    advice: str


def share(count: float, total: float) -> str:
    """Formats a part of a whole: "12 of 1,400 (0.86 %)"."""
    return f"{count:,} of {total:,} ({100 * count / max(total, 1):.3g} %)"
