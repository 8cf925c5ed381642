"""Files that are damaged, not D4RL's, or refer to other files are refused, and an error leaves nothing."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.envs.d4rl.conftest import Arrays, arrays, nothing_left
from transfer.envs.d4rl.importer import import_d4rl
from transfer.errors import TransferError


def spoilt(key: str, step: int, value: float) -> Arrays:
    contents = arrays()
    contents[key] = contents[key].astype(np.float32)
    contents[key][step] = value
    return contents


@pytest.mark.parametrize(
    ("contents", "env", "message"),
    [
        (arrays(actions=None), "hopper", "lacks actions; it has metadata, next_observations"),
        (arrays(terminals=None), "hopper", "lacks terminals"),
        (arrays(29, 8), "antmaze-umaze", "lacks infos/goal.*no file is read without"),
        (arrays(29, 8) | {"infos/goal": np.zeros((10, 3))}, "antmaze-umaze", r"infos/goal has shape \(10, 3\)"),
        (arrays(steps=0), "hopper", "no observations"),
        (arrays(observations=np.float32(1)), "hopper", "no observations"),
        (arrays(observations=np.full((10, 11), b"a")), "hopper", "no observations"),
        (arrays(observations=np.zeros((10, 11, 2))), "hopper", r"observations has shape \(10, 11, 2\).*\(10, 11\)"),
        (arrays(actions=np.zeros((9, 3))), "hopper", r"actions has shape \(9, 3\).*\(10, 3\)"),
        (arrays(rewards=np.zeros((10, 2))), "hopper", r"rewards has shape \(10, 2\).*\(10, 1\)"),
        (arrays(timeouts=np.zeros(11)), "hopper", r"timeouts has shape \(11, 1\)"),
        (arrays(next_observations=np.zeros((10, 12))), "hopper", r"next_observations has shape \(10, 12\)"),
        (arrays(17, 6), "hopper", "observations of 17 numbers and actions of 6; D4RL's of hopper have 11 and 3"),
        (arrays(27, 8), "ant", "observations of 27 numbers and actions of 8; D4RL's of ant have 105 or 111 and 8"),
        (spoilt("observations", 6, np.nan), "hopper", "observations is nan at step 6"),
        (spoilt("actions", 9, np.inf), "hopper", "actions is inf at step 9"),
        (spoilt("rewards", 0, -np.inf), "hopper", "rewards is -inf at step 0"),
        (spoilt("terminals", 5, np.nan), "hopper", "terminals is nan at step 5"),
        (spoilt("next_observations", 7, np.nan), "hopper", "next_observations is nan at step 7"),
    ],
)
def test_files_that_are_not_d4rls_are_refused_and_leave_nothing(
    home: Path, write: Callable[..., Path], contents: Arrays, env: str, message: str
) -> None:
    file = write("data-v2", contents)
    with pytest.raises(TransferError, match=message) as caught:
        import_d4rl(file, env)
    assert "data-v2.hdf5" in str(caught.value)
    assert nothing_left(home)


def damage_inside(content: bytes) -> bytes:
    """Zeros from the middle on: the file opens, but some arrays cannot be unpacked."""
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"no HDF5", lambda content: b"", lambda content: content[: len(content) // 2], damage_inside],
    ids=["text", "empty", "cut", "zeros"],
)
def test_damaged_files_are_refused_and_leave_nothing(
    home: Path, write: Callable[..., Path], damage: Callable[[bytes], bytes]
) -> None:
    contents = arrays(steps=2000, observations=np.random.default_rng(0).normal(size=(2000, 11)))
    file = write("hopper-v2", contents | {"next_observations": contents["observations"]}, compression="gzip")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(TransferError, match="hopper-v2.hdf5 (is damaged|has no obs|lacks)"):
        import_d4rl(file, "hopper")
    assert nothing_left(home)


@pytest.mark.parametrize("kind", ["link", "storage", "size"])
def test_files_that_point_elsewhere_or_hold_less_than_they_declare_are_refused(
    home: Path, write: Callable[..., Path], kind: str
) -> None:
    file = write("hopper-v2", arrays(rewards=None))
    raw = home / "secret"
    np.zeros(10).tofile(raw)
    with h5py.File(file, "a") as content:
        if kind == "link":
            content["rewards"] = h5py.ExternalLink(str(raw), "/rewards")
        elif kind == "storage":
            content.create_dataset("rewards", (10,), np.float64, external=[(str(raw), 0, 80)])
        else:
            content.create_dataset("rewards", (2**34,), np.float64)
    with pytest.raises(TransferError, match="'rewards' (is a link|keeps its numbers in another|declares .* holds 0)"):
        import_d4rl(file, "hopper")
    assert nothing_left(home)


def test_a_missing_file_is_named(home: Path) -> None:
    with pytest.raises(TransferError, match="there is no file .*hopper-v2.hdf5"):
        import_d4rl(home / "hopper-v2.hdf5", "hopper")
    assert nothing_left(home)
