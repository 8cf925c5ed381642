"""The parts of a model as lines of text: tensors, parameters, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.models.freezing import Selection


def selection_table(title: str, selection: Selection) -> str:
    """A table of the parts that train, and a last line for frozen parameters."""
    frozen = selection.total - selection.parameters
    lines = [f"{title} trains", *part_lines(selection.to_json(), selection.total)]
    lines += [f"{'frozen':<12} {'':>8} {frozen:>12,} {100 * frozen / selection.total:>11.1f}"] if frozen else []
    return "\n".join(lines)


def part_lines(counts: Mapping[str, Any], total: int) -> list[str]:
    """A table of parts: tensors, parameters, share of the `total` parameters of the model, bytes."""
    lines = [f"{'part':<12} {'tensors':>8} {'parameters':>12} {'% of model':>11} {'size':>10}"]
    for name, part in (*counts["parts"].items(), ("together", counts)):
        share, size = 100 * part["numbers"] / total, file_size(part["bytes"])
        lines.append(f"{name:<12} {part['tensors']:>8} {part['numbers']:>12,} {share:>11.1f} {size:>10}")
    return lines


def file_size(size: int) -> str:
    """Bytes as 512 B, 12.3 kB or 4.5 MB."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
