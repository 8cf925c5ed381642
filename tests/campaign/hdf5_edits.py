"""Edits of a Minari dataset's HDF5 file: those that no reader may take, and those that change no number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Change = Callable[[h5py.File], object]


def put(path: str, change: Callable[[np.ndarray], Any], **options: Any) -> Change:
    """A change of one array of the first episode."""

    def edit(content: h5py.File) -> None:
        group = content["episode_0"]
        new = change(group[path][()])
        del group[path]
        group.create_dataset(path, data=new, **options)

    return edit


def at(path: str, index: Any, value: float) -> Change:
    """One number of an array is another."""

    def change(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64)
        values[index] = value
        return values

    return put(path, change)


def instead(path: str, make: Callable[[h5py.Group, str], object]) -> Change:
    """Something else in the place of an array."""

    def edit(content: h5py.File) -> None:
        group = content["episode_0"]
        del group[path]
        make(group, path)

    return edit


def renamed(name: str) -> Change:
    """An episode of another name."""
    return lambda content: content.move("episode_4", name)


def huge(group: h5py.Group, path: str) -> None:
    """Rows that are declared and were never written."""
    group.create_dataset(path, (2**28, 11), np.float64, chunks=(1024, 11))


def bomb(group: h5py.Group, path: str) -> None:
    """Gigabytes of zeros in a small file."""
    group.create_dataset(path, (2**26, 11), np.float64, chunks=(2**16, 11), compression="gzip", fillvalue=0.0)[0] = 1.0


def elsewhere(group: h5py.Group, path: str) -> None:
    """An array of another file."""
    with h5py.File("other.hdf5", "w") as other:
        other["x"] = np.zeros((13, 11))
    group[path] = h5py.ExternalLink("other.hdf5", "/x")


def outside(group: h5py.Group, path: str) -> None:
    """Numbers that are the bytes of another file of the machine."""
    Path("secret").write_bytes(np.zeros((13, 11)).tobytes())
    group.create_dataset(path, (13, 11), np.float64, external=[(str(Path("secret").absolute()), 0, 13 * 11 * 8)])


def virtual(group: h5py.Group, path: str) -> None:
    """A virtual array over another file."""
    with h5py.File("other.hdf5", "w") as other:
        other["x"] = np.zeros((13, 11))
    layout = h5py.VirtualLayout((13, 11), np.float64)
    layout[:] = h5py.VirtualSource("other.hdf5", "x", (13, 11))
    group.create_virtual_dataset(path, layout)


def split(group: h5py.Group, path: str) -> None:
    """A Dict of observations where the space is flat."""
    for key in ("observation", "achieved_goal", "desired_goal"):
        group[f"{path}/{key}"] = np.zeros((13, 2))


def no_steps(content: h5py.File) -> None:
    """An episode that ended where it began."""
    for key, rows in (("observations", 1), ("actions", 0), ("rewards", 0), ("terminations", 0), ("truncations", 0)):
        put(key, lambda values, rows=rows: values[:rows])(content)


def soft_link(content: h5py.File) -> None:
    """An array that lies elsewhere in the same file."""
    content.move("episode_4/rewards", "kept")
    content["episode_4"]["rewards"] = h5py.SoftLink("/kept")


ARRAYS = ("observations", "actions", "rewards")
WRONG: dict[str, Change] = {
    **{f"{key}, nan": at(key, 3, np.nan) for key in ARRAYS},
    **{f"{key}, inf": at(key, -2, np.inf) for key in ARRAYS},  # the last observation is in no window
    **{f"{key}, beyond float32": at(key, 0, 1e39) for key in ARRAYS},
    **{f"{key}, a step less": put(key, lambda x: x[:-1]) for key in ARRAYS},
    **{f"{key}, empty": put(key, lambda x: x[:0]) for key in ARRAYS},
    **{f"{key}, complex": put(key, lambda x: x + 1j) for key in ARRAYS},
    **{f"{key}, text": put(key, lambda x: x.astype("S8")) for key in ARRAYS},
    **{f"{key}, one number": put(key, lambda x: 3.0) for key in ARRAYS},
    **{f"{key}, missing": instead(key, lambda g, p: None) for key in ARRAYS},
    **{f"{key}, a group": instead(key, lambda g, p: g.create_group(p)) for key in ARRAYS},
    "observations, other sizes": put("observations", lambda x: x[:, :10]),
    "actions, other sizes": put("actions", lambda x: x[:, :2]),
    "actions, flat": put("actions", lambda x: x[:, 0]),
    "rewards, a column": put("rewards", lambda x: x[:, None]),
    "rewards, records": put("rewards", lambda x: x.astype([("a", "f8")])),
    "observations, dates": put("observations", lambda x: x.astype("V8").reshape(x.shape)),
    "observations, a Dict": instead("observations", split),
    "observations, 22 GiB declared": instead("observations", huge),
    "observations, 5 GiB of zeros": instead("observations", bomb),
    "observations, a link to another file": instead("observations", elsewhere),
    "observations, bytes of another file": instead("observations", outside),
    "observations, virtual": instead("observations", virtual),
    "observations, a link to nowhere": instead("observations", lambda g, p: g.__setitem__(p, h5py.SoftLink("/none"))),
    "all steps gone": no_steps,
    "no episodes": lambda f: [f.__delitem__(name) for name in list(f)],
    "an episode that is an array": lambda f: (f.__delitem__("episode_4"), f.__setitem__("episode_4", np.zeros(3))),
    **{f"named {name}": renamed(name) for name in ("episode_x", "episode_", "episode_-1", "episode_1.5", "episode_ 4")},
    "two of one number": renamed("episode_03"),
}  # fmt: skip
SAME: dict[str, Change] = {
    "as it is": lambda f: None,
    "compressed": put("observations", lambda x: x, compression="gzip"),
    "in chunks": put("actions", lambda x: x, chunks=(5, 3)),
    "big-endian": put("observations", lambda x: x.astype(">f8")),
    "wider actions": put("actions", lambda x: x.astype(np.float64)),
    "the observation after the end, nan": at("observations", -1, np.nan),
    "without infos": lambda f: [f[name].__delitem__("infos") for name in f if "infos" in f[name]],
    "with notes": lambda f: f.attrs.__setitem__("note", "mine"),
    "an episode of a user's own beside": lambda f: f.create_group("notes"),
    "a soft link inside": soft_link,
}  # fmt: skip
