"""Stored checkpoints of every supported format act as when they were written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer.adapters.tuning.ia3 import IA3
from transfer.models.acting import PolicyModel
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk
from transfer.registry import PartSpec
from transfer.storage.fingerprints import fingerprint
from transfer.storage.pairs import FORMAT

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SAVED: dict[Any, str] = {Trunk: "trunk", Adapter: "adapter", MLPPolicy: "mlp"}


def load(folder: Path, name: str) -> PolicyModel:
    if name == "mlp":
        return MLPPolicy.load(folder / name)
    trunk = Trunk.load(folder / "trunk")
    return TransferModel(trunk, Adapter.load(folder / name, trunk))


@pytest.mark.parametrize("number", range(2, FORMAT + 1))
@pytest.mark.parametrize("name", ["reach", "walk", "mlp"])
def test_a_stored_checkpoint_acts_as_it_did(number: int, name: str) -> None:
    folder = FIXTURES / f"format{number}"
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))[name]
    policy = load(folder, name).policy()
    actions = [policy.act(one, 1.5 if step else None) for step, one in enumerate(expected["observations"])]
    np.testing.assert_allclose(actions, expected["actions"], atol=1e-4)


@pytest.mark.parametrize("number", range(2, FORMAT + 1))
def test_the_stored_adapter_has_every_option(number: int) -> None:
    adapter = Adapter.load(FIXTURES / f"format{number}" / "reach")
    assert set(adapter.parts()) == {"state", "action", "return", "tuning"} and adapter.provenance.context == 5
    assert isinstance(adapter.tuning, IA3) and adapter.method == PartSpec("dt")
    options = {"tokenizer": "uniform", "bins": 8, "ranges": "per-dimension", "readout": "categorical"}
    assert adapter.config.action == PartSpec("ActionTokenizedSpreadEmbedding", options)
    assert adapter.config.state == PartSpec("linear") and adapter.action.tokenizer.kind == "uniform"
    assert adapter.statistics.calibration is not None and adapter.statistics.best_target == 20.0
    assert adapter.statistics.return_means and adapter.env_spec.action_low[1] == -np.inf
    assert [one.name for one in adapter.env_spec.slices] == ["observation", "goal", "position"]
    assert adapter.provenance.training == {"mode": "stored", "steps": 3}


LOADED = """
import sys
from pathlib import Path
from transfer import Adapter, Trunk, TransferModel
folder = Path(sys.argv[1])
trunk = Trunk.load(folder / "trunk")
for name in ("reach", "walk"):
    TransferModel(trunk, Adapter.load(folder / name, trunk)).policy()
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


@pytest.mark.parametrize("name", ["trunk", "reach", "walk", "mlp"])
def test_what_an_older_version_wrote_is_saved_anew_in_the_format_of_today(name: str, tmp_path: Path) -> None:
    kind: Any = {"trunk": Trunk, "mlp": MLPPolicy}.get(name, Adapter)
    older = kind.load(FIXTURES / "format2" / name)
    again = kind.load(older.save(tmp_path))
    assert json.loads((tmp_path / f"{SAVED[kind]}.json").read_text())["format"] == FORMAT
    assert fingerprint(again) == fingerprint(older) and again.to_json() == older.to_json()


@pytest.mark.parametrize("name", ["trunk", "mlp"])
def test_fingerprints_of_trunks_and_mlps_stay_what_they_were(name: str) -> None:
    stored = json.loads((FIXTURES / "format2" / name / f"{name}.json").read_text())["fingerprint"]
    assert fingerprint((Trunk if name == "trunk" else MLPPolicy).load(FIXTURES / "format2" / name)) == stored


@pytest.mark.parametrize("number", range(2, FORMAT + 1))
def test_loading_imports_no_compiler(number: int) -> None:
    """The import takes longer than the rest of a command."""
    env = {**os.environ, "PYTHONPATH": str(FIXTURES.parents[1])}
    command = [sys.executable, "-c", LOADED, str(FIXTURES / f"format{number}")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
