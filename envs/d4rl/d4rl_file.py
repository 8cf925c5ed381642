"""Reading one of D4RL's HDF5 files, a few steps at a time.

Letters: N steps of the file, T steps of an episode, S observation size, A action size.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.envs.minari.hdf5 import CheckedArrays, read_errors
from transfer.errors import TransferError

GOAL = "infos/goal"
_CACHE = 32 << 20  # bytes for unpacked chunks of an array; a chunk of a compressed file holds many episodes


@dataclass(frozen=True)
class D4RLArrays:
    """The open arrays of a file by D4RL's names. They stay open because each has its own cache of unpacked chunks."""

    file: Path
    of: Mapping[str, Any]

    def shape(self, key: str) -> tuple[int, ...]:
        """Returns (N, size), with size 1 for an array (N,); () for an array without numbers."""
        array = self.of[key]
        if getattr(array, "dtype", np.dtype(object)).kind not in "biuf" or not array.shape:
            return ()
        return (*array.shape, 1)[:2] if array.ndim == 1 else tuple(array.shape)

    def check(self) -> None:
        """Raises TransferError unless all have N > 0 steps and the expected number of columns."""
        (steps, size), (_, actions) = ((*self.shape(key), 0, 0)[:2] for key in ("observations", "actions"))
        if not steps:
            raise TransferError(f"{self.file} has no observations (N, size). Download it again.")
        columns = {"observations": size, "next_observations": size, "actions": actions, GOAL: 2}
        for key in self.of:
            wanted = (steps, columns.get(key, 1))
            if self.shape(key) != wanted:
                raise TransferError(
                    f"{self.file}: {key} has shape {self.shape(key)}; numbers of shape {wanted} are wanted, to go with "
                    f"{steps} observations of {size} numbers. Is it one of D4RL's files?"
                )

    def read(self, key: str, steps: slice) -> NDArray[Any]:
        """Reads some steps of an array. Raises TransferError if a value is not finite or cannot be read."""
        with read_errors(self.file):
            values: NDArray[Any] = self.of[key][steps]
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            raise TransferError(
                f"{self.file}: {key} is {values[tuple(bad[0])]} at step {(steps.start or 0) + bad[0][0]}. Download it "
                "again; what is not finite cannot be learned from."
            )
        return values

    def flags(self, key: str) -> NDArray[np.bool_]:
        """Reads terminals or timeouts (N,)."""
        return self.read(key, slice(None)).reshape(-1).astype(bool)


@contextlib.contextmanager
def opened(file: Path, goals: bool) -> Iterator[D4RLArrays]:
    """Opens a file and checks that it has all arrays that an import needs."""
    import h5py

    if not file.is_file():
        raise TransferError(f"there is no file {file}. D4RL's have names such as hopper_medium-v2.hdf5.")
    needed = ["observations", "actions", "rewards", "terminals", *([GOAL] if goals else [])]
    with contextlib.ExitStack() as stack:
        with read_errors(file):
            source = stack.enter_context(h5py.File(file, "r", rdcc_nbytes=_CACHE))
            held = CheckedArrays(source, file)
            named = {key: held.get(key) for key in (*needed, "timeouts", "next_observations")}
            found = {key: array for key, array in named.items() if array is not None}
            have = ", ".join(list(source)[:12]) or "nothing"
        missing = [key for key in needed if key not in found]
        if missing:
            hint = " The goals are part of what the ant sees, so no file is read without." if GOAL in missing else ""
            raise TransferError(f"{file} lacks {', '.join(missing)}; it has {have}. Is it one of D4RL's?{hint}")
        arrays = D4RLArrays(file, found)
        arrays.check()
        yield arrays


def observations(arrays: D4RLArrays, steps: slice) -> Any:
    """Returns observations (T + 1, S). The last one is repeated if the file has none after the last action.

    An ant's (T + 1, 29) in a maze become a Dict of x and y, 27 other values and the goal, as in gymnasium_robotics.
    """
    last, after = slice(steps.stop - 1, steps.stop), "next_observations"
    final = arrays.read(after if after in arrays.of else "observations", last)
    values = np.concatenate([arrays.read("observations", steps), final])
    if GOAL not in arrays.of:
        return values
    goals = np.concatenate([arrays.read(GOAL, steps), arrays.read(GOAL, last)])
    return {"observation": values[:, 2:], "achieved_goal": values[:, :2], "desired_goal": goals}
