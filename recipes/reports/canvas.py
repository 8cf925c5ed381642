"""matplotlib as reports use it: Agg draws into files, with matplotlib's own settings, whatever the user's are.

No pyplot, so no window, no display and no global state is involved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transfer.storage.files import writing


@contextmanager
def any_backend() -> Iterator[None]:
    """Inside, matplotlib loads whatever backend the environment names, as a notebook leaves one behind."""
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        del os.environ["MPLBACKEND"]
        if before is not None:
            os.environ["MPLBACKEND"] = before


with any_backend():
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure


@contextmanager
def figure(file: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure to draw on, of this size in inches, which is written as a PNG when the block ends well."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        drawn = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        save_png(drawn, file)


def save_png(drawn: Figure, file: Path) -> None:
    """Write a figure as PNG; one that cannot be drawn leaves what was there before."""
    with writing(file) as stream:
        # Without the version of matplotlib in it, equal results give an equal file.
        drawn.savefig(stream, format="png", dpi=150, metadata={"Software": None})
