"""Files as D4RL writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


ENDS = {"terminals": (3,), "timeouts": (7,)}  # of 10 steps; the last two are cut off by the end of the file


def arrays(size: int = 11, action_size: int = 3, steps: int = 10, **changes: Any) -> Arrays:
    """The arrays of a D4RL file: episodes of 4, 4 and 2 steps, all values different. None removes an array."""
    observations = np.arange(steps * size, dtype=np.float32).reshape(steps, size)
    made = {
        "observations": observations,
        "next_observations": observations + 0.5,
        "actions": np.linspace(-1, 1, steps * action_size, dtype=np.float32).reshape(steps, action_size),
        "rewards": np.arange(steps, dtype=np.float32),
        **{key: np.isin(np.arange(steps), at) for key, at in ENDS.items()},
    }
    return {key: value for key, value in (made | changes).items() if value is not None}


@pytest.fixture
def write(home: Path) -> Callable[..., Path]:
    """Writes a file of D4RL: (name, contents, **options of h5py's create_dataset)."""

    def write(name: str, contents: Arrays, **options: Any) -> Path:
        path = home / "files" / f"{name}.hdf5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, value in contents.items():
                file.create_dataset(key, data=value, **options)
            file["metadata/algorithm"] = "SAC"
        return path

    return write


def load(dataset_id: str) -> Any:
    import minari

    return minari.load_dataset(dataset_id)


def metadata(home: Path, dataset_id: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "datasets" / dataset_id / "data" / "metadata.json").read_text())
    return content


def nothing_left(home: Path) -> bool:
    return not (home / "datasets").exists()
