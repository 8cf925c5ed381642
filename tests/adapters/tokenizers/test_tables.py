"""Tables of tokenizers in a checkpoint: equal to the bit, not believed, and read without scikit-learn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transfer import registry
from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.quantile import QuantileTokenizer
from transfer.adapters.tokenizers.tables import Tables
from transfer.adapters.tokenizers.tokenizer import make_tokenizer, tokenizer_from_json, tokenizer_of
from transfer.errors import TransferError

ROOT = Path(__file__).resolve().parents[3]
KINDS = sorted(registry.known("tokenizer"))
VALUES = (
    np.random.default_rng(0).normal(0, 0.8, (2000, 3)).clip(-1, [0.9, 1, -1]).astype(np.float32)
)  # the last constant


@pytest.mark.parametrize("kind", KINDS)
def test_storage_is_exact(kind: str) -> None:
    tokenizer = make_tokenizer(kind, 32).fit(VALUES)
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json(), allow_nan=False)))
    assert type(again) is type(tokenizer) and again.bins == 32
    for name in ("edges_", "centers_", "n_used_"):
        before, after = getattr(tokenizer, name), getattr(again, name)
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_the_tables_as_they_are(kind: str) -> None:
    tokenizer = make_tokenizer(kind, 16).fit(VALUES)
    bins = Bins(Tables.from_json(tokenizer.to_json()))
    assert bins.tables().to_json() == tokenizer.to_json()
    again = tokenizer_of(bins.tables())
    assert again.get_params() == {"bins": 16} and again.n_features_in_ == 3
    np.testing.assert_array_equal(again.transform(VALUES), tokenizer.transform(VALUES))


def test_damaged_storage_is_refused() -> None:
    stored = QuantileTokenizer(4).fit([[0.0], [1.0]]).to_json()
    with pytest.raises(TransferError, match="unknown key in the tokenizer 'extra'"):
        Tables.from_json({**stored, "extra": 1})
    with pytest.raises(TransferError, match="other sizes"):
        Tables.from_json({**stored, "edges": [[0.1, 0.2]]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 1}, "bins=1 is too small"),
        ({"bins": 10**9}, "bins=1000000000 is too large"),
        ({"bins": "4"}, "is text"),
        ({"bins": True}, "whole number"),
        ({"bins": 3}, "other sizes"),
        ({"kind": "quantiles"}, "Did you mean 'quantile'"),
        ({"edges": None}, "a list with one list per dimension"),
        ({"edges": []}, "a list with one list per dimension"),
        ({"edges": [0.5]}, "edges must be 1-d float32, got 0-d"),
        ({"edges": [[float("nan"), 0.0, 0.5]]}, "finite numbers are needed"),
        ({"edges": [[-0.5, 0.0, 1e300]]}, "finite numbers are needed"),
        ({"edges": [[-0.5, 0.0, 10**400]]}, "not an array of numbers"),
        ({"edges": [[-0.5, "0", 0.5]]}, "they hold text"),
        ({"edges": [[[-0.5], [0.0], [0.5]]]}, "edges must be 1-d float32, got 2-d"),
        ({"edges": [[0.5, 0.0, -0.5]]}, "edges do not ascend"),
        ({"edges": [[-0.5, 0.0, 1e-60]]}, "edges do not ascend"),
        ({"centers": [[-0.75, -0.25, 0.25, float("inf")]]}, "finite numbers are needed"),
        ({"centers": [[-0.75, -0.25, 0.25, 0.45]]}, "centers lie outside their bins"),
        ({"centers": [[-0.75, 0.25, -0.25, 0.75]]}, "centers lie outside their bins"),
    ],
)
def test_stored_tables_are_not_believed(change: dict[str, object], message: str) -> None:
    stored = {"kind": "uniform", "bins": 4, "edges": [[-0.5, 0.0, 0.5]], "centers": [[-0.75, -0.25, 0.25, 0.75]]}
    Tables.from_json(stored)
    with pytest.raises(TransferError, match=message):
        Tables.from_json({**stored, **change})


@pytest.mark.parametrize("stored", [[], "quantile", 3, {"kind": "quantile"}])
def test_what_is_no_stored_tokenizer_is_refused(stored: object) -> None:
    with pytest.raises(TransferError, match="tokenizer"):
        Tables.from_json(stored)  # type: ignore[arg-type]


WITHOUT = """
import sys
from pathlib import Path
import transfer
from transfer import Adapter, TransferModel, Trunk
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
trunk = Trunk.load(folder / "trunk")
for name in ("reach", "walk"):
    for place in (folder, out):  # as it is stored, and as it is written today
        model = TransferModel(trunk, Adapter.load(place / name, trunk))
        states = {"reach": {"observation": [0] * 3, "desired_goal": [0] * 2, "achieved_goal": [0] * 2}}
        model.policy().act(states.get(name, [0.0] * model.env_spec.state_size))
        model.adapter.save(out / name)
    assert model.adapter.parts()["action"].bins is not None or name == "walk"
print([name for name in ("sklearn", "scipy", "joblib") if name in sys.modules])
"""


def test_loading_acting_and_saving_import_no_scikit_learn(tmp_path: Path) -> None:
    """It would take about as long as torch."""
    command = [sys.executable, "-c", WITHOUT, str(ROOT / "tests" / "fixtures" / "format2"), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
