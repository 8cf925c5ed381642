"""Two commits against each other, bit for bit: weights after every kind of training, returns, actions, calibrations.

python -m benchmarks.commits.same_weights OLD NEW [--quick] [--keep FOLDER]

OLD and NEW are commits, or folders with a checkout. Each trains and plays small models on bundled data in a process of
its own, in float32 on one thread (`trained_commit.py`). Exit code 1 when anything differs. What cannot be equal bit for
bit on principle (PyTorch's decoding in other shapes, errors that grow over an episode) is reported beside it with its
largest difference. With --keep, the arrays of a commit are kept, so that the next run trains the other alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.commits.checkouts import checkout, resolved

CHILD = Path(__file__).with_name("trained_commit.py")
DATA = ("hopper/medium", "walker2d/medium")
DATA_STEPS = 3000
NEAR = "near: "  # of an array that is reported and need not be equal
RENAMED: dict[str, str] = {
    "conditioning.": "return.",
    "ia3.": "tuning.",
    "adapter.conditioning.": "adapter.return.",
    "adapter.ia3.": "adapter.tuning.",
}  # beginnings of names of tensors: what OLD calls "a.b." NEW calls "c."
Arrays = Mapping[str, NDArray[Any]]


class Comparison(NamedTuple):
    """Lines about what differs, lines about what is merely reported, and how many arrays are the same."""

    different: list[str]
    reported: list[str]
    same: int


def main(arguments: list[str] | None = None) -> int:
    """Compare two commits and print what differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commits.same_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", help="commit or folder that the other one is compared with")
    parser.add_argument("new", help="commit or folder that must not differ")
    parser.add_argument("--steps", type=int, default=200, help="updates of each training (default: 200)")
    parser.add_argument("--episodes", type=int, default=10, help="episodes of each evaluation (default: 10)")
    parser.add_argument("--quick", action="store_true", help="30 updates and 3 episodes")
    parser.add_argument("--keep", type=Path, help="folder for data and for the arrays of commits")
    options = parser.parse_args(arguments)
    size = (30, 3) if options.quick else (options.steps, options.episodes)
    with tempfile.TemporaryDirectory(prefix="same-weights-") as name, ExitStack() as stack:
        scratch = Path(name)
        kept = options.keep.resolve() if options.keep else scratch / "kept"
        for folder in (kept, scratch / "trees"):
            folder.mkdir(parents=True, exist_ok=True)
        old, new = (found(stack, scratch, kept, one, *size) for one in (options.old, options.new))
        result = compare(old, new)
    for line in [*result.reported, *result.different]:
        print(line)
    print(f"{result.same} arrays are the same bit for bit, {len(result.different)} differ")
    return 1 if result.different else 0


def compare(old: Arrays, new: Arrays) -> Comparison:
    """Look at dtype, shape and bytes of every array; a name that one side lacks counts as a difference."""
    old = {renamed(name): values for name, values in old.items()}
    different = [f"only {side}: {name}" for side, name in one_sided(old, new)]
    reported, same = [], 0
    for name in old.keys() & new.keys():
        if equal(old[name], new[name]):
            same += 1
        elif NEAR in name:
            reported.append(f"{name}: {distance(old[name], new[name])}")
        else:
            different.append(f"{name}: {distance(old[name], new[name])}")
    return Comparison(sorted(different), sorted(reported), same)


def one_sided(old: Arrays, new: Arrays) -> Iterator[tuple[str, str]]:
    """The names that one side lacks."""
    yield from (("old", name) for name in old.keys() - new.keys())
    yield from (("new", name) for name in new.keys() - old.keys())


def renamed(name: str) -> str:
    """The new name of an array of the old commit: "ACTION: TRAINING, TENSOR" with another beginning of TENSOR."""
    tensor = re.split("[:,] ", name)[-1]
    for one, other in RENAMED.items():
        if tensor.startswith(one):
            return f"{name.removesuffix(tensor)}{other}{tensor.removeprefix(one)}"
    return name


def equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays have the same bytes, so that NaN equals itself and 0 differs from -0."""
    same_kind = one.dtype == other.dtype and one.shape == other.shape
    return same_kind and one.tobytes() == other.tobytes()


def distance(one: NDArray[Any], other: NDArray[Any]) -> str:
    """The difference of two arrays in words."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return f"{one.dtype} {one.shape} became {other.dtype} {other.shape}"
    gap = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return f"{(gap > 0).sum()} of {gap.size} numbers differ, by at most {gap.max():.3g}"


def found(stack: ExitStack, scratch: Path, kept: Path, which: str, steps: int, episodes: int) -> Arrays:
    """The arrays of a commit or folder, made now or read from `kept`."""
    commit = None if Path(which).is_dir() else resolved(which)
    script = hashlib.sha256(CHILD.read_bytes()).hexdigest()[:8]
    place = kept / f"{commit}-{steps}-{episodes}-{script}" if commit else scratch / "folder"
    if not place.exists():
        library = stack.enter_context(checkout(scratch / "trees", which)) if commit else Path(which).resolve()
        begun = time.perf_counter()
        make(library, kept, place.with_suffix(".part"), steps, episodes)
        place.with_suffix(".part").rename(place)
        print(f"{which}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return {name: values for file in place.glob("*.npz") for name, values in np.load(file).items()}


def make(library: Path, kept: Path, out: Path, steps: int, episodes: int) -> None:
    """Train and play with the library in a folder, with kernels and then without."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    env = {
        **os.environ,
        "PYTHONPATH": str(library),
        "MINARI_DATASETS_PATH": str(kept / "data"),
        "XDG_CACHE_HOME": str(kept / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    if not (kept / "data").exists():
        for name in DATA:
            run(["-m", "transfer.recipes", "data", "make", name, "--steps", str(DATA_STEPS)], env)
    for kernels in ("on", "off"):
        command = [str(CHILD), str(library), str(out), str(steps), str(episodes)]
        run(command, {**env, "EMBEDDING_SWAP_KERNELS": kernels})


def run(command: list[str], env: Mapping[str, str]) -> None:
    """A process of Python in a folder of its own, for the simulator writes a log; what it prints goes to stderr."""
    with tempfile.TemporaryDirectory(prefix="same-weights-") as folder:
        done = subprocess.run([sys.executable, *command], cwd=folder, env=dict(env), stdout=sys.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed; what it said is above")


if __name__ == "__main__":
    sys.exit(main())
