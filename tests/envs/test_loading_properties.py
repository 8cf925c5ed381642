"""Any episodes that Minari can store load unchanged, or are refused with the dataset's name and without a cache."""

import json
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from transfer.envs.loading import load_episodes
from transfer.errors import TransferError

KEYS = ("observations", "actions", "rewards")
values = st.floats(-1e6, 1e6, width=32)
bad = st.sampled_from([np.nan, np.inf, -np.inf, 1e300])


@st.composite
def episodes(draw: st.DrawFn) -> list[dict[str, np.ndarray]]:
    """Up to four episodes of Hopper's sizes."""
    return [
        {
            "observations": draw(arrays.arrays(np.float64, (steps + 1, 11), elements=values)),
            "actions": draw(arrays.arrays(np.float32, (steps, 3), elements=st.floats(-1, 1, width=32))),
            "rewards": draw(arrays.arrays(np.float64, steps, elements=values)),
        }
        for steps in draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    ]


def write(root: Path, stored: list[dict[str, Any]]) -> None:
    """Writes a Minari dataset "any-v0" by hand, with valid or invalid content."""
    folder = root / "any-v0" / "data"
    folder.mkdir(parents=True)
    spec = gymnasium.spec("Hopper-v5").to_json()
    steps = sum(len(one.get("rewards", ())) for one in stored)
    metadata = {
        **{"total_episodes": len(stored), "total_steps": steps, "env_spec": spec},
        **{"data_format": "hdf5", "dataset_id": "any-v0", "minari_version": "0.5.4"},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for index, one in enumerate(stored):
            for key, array in one.items():
                file[f"episode_{index}/{key}"] = array


@settings(max_examples=12, deadline=None)
@given(stored=episodes())
def test_what_was_stored_is_what_is_loaded(stored: list[dict[str, np.ndarray]]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", f"{name}/datasets")
        patch.setenv("XDG_CACHE_HOME", f"{name}/cache")
        write(Path(name) / "datasets", stored)
        for _ in range(2):  # fresh, then from the cache
            loaded = load_episodes("any-v0")
            assert loaded.lengths.tolist() == [len(one["rewards"]) for one in stored]
            for key, ours in zip(KEYS, (loaded.states, loaded.actions, loaded.rewards), strict=True):
                parts = [one[key][:-1] if key == "observations" else one[key] for one in stored]
                np.testing.assert_array_equal(ours, np.concatenate(parts).astype(np.float32))


@settings(max_examples=12, deadline=None)
@given(stored=episodes(), data=st.data())
def test_what_is_damaged_is_refused_by_name_and_leaves_no_cache(stored: list[Any], data: st.DataObject) -> None:
    one, key = data.draw(st.sampled_from(stored)), data.draw(st.sampled_from(KEYS))
    kind = data.draw(st.sampled_from(["value", "short", "wide", "missing"]))
    if kind == "value":
        one[key] = one[key].astype(np.float64)
        one[key][data.draw(st.integers(0, len(one["rewards"]) - 1))] = data.draw(bad)
    elif kind == "short":
        one[key] = one[key][:-1]
    elif kind == "wide":
        one[key] = one[key][..., None] if key == "rewards" else np.pad(one[key], ((0, 0), (0, 1)))
    else:
        del one[key]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", f"{name}/datasets")
        patch.setenv("XDG_CACHE_HOME", f"{name}/cache")
        write(Path(name) / "datasets", stored)
        with pytest.raises(TransferError, match="any-v0"):
            load_episodes("any-v0")
        assert not (Path(name) / "cache").exists()
