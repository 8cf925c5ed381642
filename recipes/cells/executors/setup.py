"""What a process needs to know before it does any work for another one, and how it tells what happens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from transfer.data.environment.building.importing import import_from_here
from transfer.data.environment.building.trust import trusted, trusting
from transfer.recipes.cells.work import Work, do
from transfer.recipes.runs.checks import use_threads
from transfer.recipes.watching.progress import showing
from transfer.storage.locks import one_at_a_time

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes what happens: "say" with a line, or "progress" with the state of a bar."""
Show = Callable[[int, str, Mapping[str, Any]], None]
"""Takes the number of a worker, and what it tells."""


@dataclass(frozen=True)
class Setup:
    """How work is done elsewhere as it would be here.

    Attributes:
        device: where to compute.
        threads: of the CPU.
        modules: of the user's own, which may register kinds and environments.
        folder: the working folder.
        trust: whether files may name code, as --trust says.
    """

    device: str
    threads: int
    modules: tuple[str, ...]
    folder: str
    trust: bool

    @classmethod
    def of_here(cls, device: str, threads: int, modules: tuple[str, ...]) -> Setup:
        """That of this process."""
        return cls(device, threads, modules, os.getcwd(), trusted())

    def begin(self) -> None:
        """Once in a process: go to the working folder, set the threads, import the modules."""
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        use_threads(self.threads)
        import_from_here(self.modules)

    def do(self, work: Work, tell: Tell) -> None:
        """Do a piece of work, and tell what happens.

        A process that was left over from a driver that was killed may still be at it: this one waits for its end.
        """

        def say(line: str) -> None:
            tell("say", {"line": line})

        trust: AbstractContextManager[None] = trusting(say) if self.trust else nullcontext()
        new = not work.cell.home.exists()
        work.cell.home.mkdir(parents=True, exist_ok=True)
        try:
            with trust, one_at_a_time(work.cell.home), showing(lambda state: tell("progress", state)):
                do(work, self.device, say)
        finally:
            if new and not any(work.cell.home.iterdir()):
                work.cell.home.rmdir()


def end_with_parent(interval: float = 0.5) -> None:
    """End this process soon after the one that started it: nobody would be told what it does."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(interval)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
