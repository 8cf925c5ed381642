"""The files of a commit, in a folder of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def checkout(folder: Path, commit: str) -> Iterator[Path]:
    """The files of a commit, in a temporary worktree of this repository."""
    place = folder / f"{len(list(folder.iterdir()))}-{commit.replace('/', '-')}"
    git = ["git", "-C", str(ROOT), "worktree"]
    done = subprocess.run([*git, "add", "--quiet", "--detach", str(place), commit], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no commit {commit} here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


def resolved(commit: str) -> str:
    """The hash of a commit."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
    done = subprocess.run(git, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no commit and no folder {commit} here")
    return done.stdout.strip()
