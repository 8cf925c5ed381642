"""matplotlib as reports use it: Agg draws into files, with matplotlib's own settings whatever the user's are.

No pyplot, so no window, no display and no global state is involved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transfer.storage.files import writing

_backend = os.environ.pop("MPLBACKEND", None)  # a notebook leaves one behind that does not load elsewhere
try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend


@contextmanager
def figure(file: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure of this size in inches, written as a PNG when the block ends without an error."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        drawn = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        save_png(drawn, file)


def save_png(drawn: Figure, file: Path) -> None:
    """Write a figure as PNG; where drawing fails, the file stays as it was."""
    with writing(file) as stream:
        # Without the version of matplotlib in it, equal results give an equal file.
        drawn.savefig(stream, format="png", dpi=150, metadata={"Software": None})
