"""Cells of one identity: found, taken, and told apart by everything that decides their results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer.recipes.cells.identity import IDENTITY, identity_of
from transfer.recipes.cells.run_cell import RunCell, cells_of
from transfer.recipes.cells.twins import Twins
from transfer.recipes.runs.used import read_used
from transfer.recipes.settings.config import load_config

Lasting = Callable[[Path], dict[str, bytes]]
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("workplace")


def twins_of(run: Path, sets: tuple[str, ...] = (), like: Path | None = None, runs: Path | None = None) -> Twins:
    """Those of a run with the settings and data of `like`."""
    source = run if like is None else like
    return Twins({run: (load_config(str(source), sets), read_used(source / "config.toml"))}, CPU, runs)


def identity(run: Path, mode: str, *sets: str, like: Path | None = None) -> str:
    found = twins_of(run, sets, like).identity(RunCell(run, mode, 0, mode == "embeddings"))
    assert found is not None
    return found


def test_every_trained_cell_keeps_its_identity(run: Path) -> None:
    for mode, place in (("pretrain", "trunk/0"), ("embeddings", "embeddings/0")):
        kept = json.loads((run / place / IDENTITY).read_text())
        assert kept["identity"] == identity(run, mode) == identity_of(kept["of"])


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ("pretrain.steps=11", {"pretrain"}),
        ("adapt.steps=9", {"embeddings"}),
        ("adapt.lr=0.002", {"embeddings"}),
        ("adapter.action.bins=9", {"pretrain", "embeddings"}),
        ("trunk.depth=2", {"pretrain", "embeddings"}),
        ("eval.episodes=3", {"pretrain", "embeddings"}),
        ("run.threads=2", {"pretrain", "embeddings"}),
        ("run.precision=float32", {"pretrain", "embeddings"}),
        ("target.episodes=1", {"embeddings"}),
        ("source.weight=2.0", {"pretrain"}),
        ("adapt.inherit=action", {"embeddings"}),
        ("source.fallback=walker2d/expert", set()),  # what it came to mean is in [used]
        ('adapt.modes=["full"]', set()),
        ("run.seeds=[0, 1]", set()),
    ],
)
def test_an_identity_has_what_decides_a_cell_and_nothing_else(change: str, touched: set[str], run: Path) -> None:
    for mode in ("pretrain", "embeddings"):
        assert (identity(run, mode, change) != identity(run, mode)) == (mode in touched), (change, mode)


@pytest.mark.parametrize("name", ["torch", "embedding-swap"])
def test_other_versions_and_kernels_are_other_cells(name: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(run, "pretrain")
    from transfer.recipes.runs.versions import versions

    other = {**versions(), name: "0.0.1"}
    monkeypatch.setattr("transfer.recipes.cells.identity.versions", lambda: other)
    assert identity(run, "pretrain") != before
    monkeypatch.undo()
    monkeypatch.setattr("transfer.recipes.cells.identity.kernel_backend", lambda: "none")
    assert identity(run, "pretrain") != before


def test_other_data_and_another_trunk_are_other_cells(run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run, tmp_path / "copy")
    before = {mode: identity(tmp_path / "copy", mode) for mode in ("pretrain", "embeddings")}
    assert before == {mode: identity(run, mode) for mode in before}
    config = tmp_path / "copy" / "config.toml"
    content = read_used(config)["source"].content
    config.write_text(config.read_text().replace(content, "0" * 64))
    assert identity(tmp_path / "copy", "pretrain") != before["pretrain"]
    assert identity(tmp_path / "copy", "embeddings") == before["embeddings"]  # the trunk's own fingerprint counts
    trunk = tmp_path / "copy/trunk/0/trunk/trunk.json"
    told: dict[str, Any] = json.loads(trunk.read_text())
    trunk.write_text(json.dumps({**told, "fingerprint": "1" * 64}))
    assert identity(tmp_path / "copy", "embeddings") != before["embeddings"]


def test_a_finished_cell_of_one_identity_is_taken(run: Path, tmp_path: Path, lasting: Lasting) -> None:
    twins = twins_of(tmp_path / "other", like=run, runs=run.parent)
    config = load_config(str(run))
    cells = cells_of(config, tmp_path / "other")
    for cell in cells:
        cell.run.mkdir(exist_ok=True)
        origin = twins.take(cell)
        assert origin is not None and cell.finished
        same = origin / "adapter/adapter.safetensors"
        assert (cell.home / "adapter/adapter.safetensors").samefile(same)
        assert not (cell.home / "results.json").samefile(origin / "results.json")
    assert lasting(tmp_path / "other") == lasting(run)
    assert twins.take(cells[0]) is None  # there already


def test_a_cell_that_was_begun_or_has_other_settings_is_not_replaced(run: Path, tmp_path: Path) -> None:
    cell = RunCell(tmp_path / "other", "pretrain", 0)
    other = twins_of(tmp_path / "other", ("pretrain.lr=0.01",), like=run, runs=run.parent)
    assert other.take(cell) is None and not cell.home.exists()
    cell.home.mkdir(parents=True)
    (cell.home / "mine").touch()
    assert twins_of(tmp_path / "other", like=run, runs=run.parent).take(cell) is None
    assert [one.name for one in cell.home.iterdir()] == ["mine"]
