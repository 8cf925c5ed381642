"""What reports of runs and of matrices say alike: what was asked for, data, reference scores, versions."""

from collections.abc import Sequence

from transfer.recipes.reports.escaping import markdown
from transfer.recipes.reports.rows import Row
from transfer.recipes.reports.tables.cell_results import CellResult

INTERVALS = "Intervals: bootstrap over seeds, then over the episodes of each; of few seeds they are too narrow."
HELD_OUT = "Held-out error: mean squared error of scaled actions on episodes that were not trained on."
CHANGED_TRUNK = "**A frozen trunk has changed: do not use these results.**"
FLIPS = (
    "p: how often so large a difference comes about when each seed's sign is a coin toss; 0.063 is the least that five "
    "seeds can say, 0.002 ten."
)


def asked(row: Row) -> str:
    """The score of the target return, and what else was asked for."""
    score = "" if row.target_score is None else f"{row.target_score:.1f}{f' ({row.target})' if row.calibrated else ''}"
    return ", ".join(one for one in (score, row.asked) if one) or "-"


def conditions(cells: Sequence[CellResult]) -> list[str]:
    """Reference scores, data and versions."""
    lines = [
        f"Score of {markdown(name)}: 0 at a return of {reference.minimum:g}, 100 at {reference.maximum:g}, "
        f"table {markdown(reference.table)}."
        for name, reference in dict.fromkeys((cell.line.environment, cell.reference) for cell in cells)
    ]
    lines += [
        markdown(f"Data of {line.environment}: {line.dataset_ids} (content {line.content_hash[:12]}).")
        for line in {cell.line.content_hash: cell.line for cell in cells}.values()
    ]
    versions: dict[str, set[str]] = {}
    for cell in cells:
        for package, version in cell.line.packages.items():
            versions.setdefault(package, set()).add(version)
    if versions:
        listed = ", ".join(f"{package} {' and '.join(sorted(seen))}".strip() for package, seen in versions.items())
        lines.append(markdown(f"Versions: {listed}."))
    return lines
