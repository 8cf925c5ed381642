"""`transfer data`: what the commands print, their exit codes, and what they leave behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

Transfer = Callable[..., Result]
Refused = Callable[..., None]
EXPERT = "bundled/hopper/expert-v0"


@pytest.fixture(autouse=True)
def datasets(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A datasets folder and a cache of the test's own, with the tiny datasets."""
    folder = tmp_path / "home" / "datasets"
    shutil.copytree(tiny_data, folder)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    return folder


@pytest.fixture
def d4rl_file(tmp_path: Path) -> Path:
    """Two episodes of 30 and 25 steps, as D4RL stores them."""
    file, rng = tmp_path / "hopper_medium-v2.hdf5", np.random.default_rng(0)
    with h5py.File(file, "w") as groups:
        groups["observations"] = rng.standard_normal((55, 11)).astype(np.float32)
        groups["next_observations"] = rng.standard_normal((55, 11)).astype(np.float32)
        groups["actions"] = rng.uniform(-1, 1, (55, 3)).astype(np.float32)
        groups["rewards"] = rng.uniform(0, 1, 55).astype(np.float32)
        groups["terminals"] = np.arange(55) == 54
        groups["timeouts"] = np.arange(55) == 29
    return file


def test_a_file_of_d4rl_is_imported_checked_and_loaded(transfer: Transfer, d4rl_file: Path) -> None:
    from transfer import load_episodes

    result = transfer("data", "import", d4rl_file, "--env", "hopper")
    assert (result.exit_code, result.stdout) == (0, "imported/hopper_medium-v2\n")
    assert "transfer data check imported/hopper_medium-v2" in result.stderr
    assert load_episodes("imported/hopper_medium-v2").lengths.tolist() == [30, 25]
    assert "imported/hopper_medium-v2" in transfer("data", "ls").stdout
    again = transfer("data", "import", d4rl_file, "--env", "hopper")
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    assert transfer("data", "import", d4rl_file, "--env", "hopper", "--overwrite").exit_code == 0


def test_what_cannot_be_imported_is_refused(
    transfer: Transfer, refused: Refused, d4rl_file: Path, datasets: Path
) -> None:
    before = sorted(datasets.parent.rglob("*"))
    bad = d4rl_file.with_name("hopper_medium-v1.hdf5")
    bad.write_bytes(d4rl_file.read_bytes())
    refused(transfer("data", "import", bad, "--env", "hopper"), "hopper_medium-v1 is version 1", "Get -v2")
    bad = d4rl_file.with_name("hopper_expert-v2.hdf5")
    bad.write_bytes(d4rl_file.read_bytes()[:3000])
    refused(transfer("data", "import", bad, "--env", "hopper"), str(bad))
    refused(transfer("data", "import", d4rl_file, "--env", "hoper"), "Did you mean 'hopper'")
    refused(transfer("data", "import", d4rl_file, "--env", "pen"), "11", "45")
    assert sorted(datasets.parent.rglob("*")) == before


def test_a_checkup_exits_with_1_when_results_would_be_wrong(transfer: Transfer) -> None:
    good = transfer("data", "check", EXPERT)
    assert good.exit_code == 0 and "0 errors" in good.stdout and EXPERT in good.stdout
    found = json.loads(transfer("data", "check", EXPERT, "--json").stdout)
    assert found["dataset_id"] == EXPERT and found["wrong"] is False
    assert transfer("data", "check", "hopper/exprt").exit_code == 2


def test_a_dataset_with_nan_is_wrong(transfer: Transfer, d4rl_file: Path, datasets: Path) -> None:
    assert transfer("data", "import", d4rl_file, "--env", "hopper", "--id", "mine/broken-v0").exit_code == 0
    with h5py.File(datasets / "mine/broken-v0/data/main_data.hdf5", "a") as file:
        file["episode_1/rewards"][3] = np.nan
    result = transfer("data", "check", "mine/broken-v0")
    assert result.exit_code == 1 and "results would be wrong" in result.stdout, result.output
    assert json.loads(transfer("data", "check", "mine/broken-v0", "--json").stdout)["wrong"] is True


def test_a_ceiling_is_printed_and_written(transfer: Transfer, refused: Refused, tmp_path: Path) -> None:
    options = ["--bins", "4,64", "--tokenizers", "quantile", "--episodes", "2"]
    result = transfer("data", "ceiling", EXPERT, *options, "--out", tmp_path / "ceiling")
    assert result.exit_code == 0 and "| quantile" in result.stdout, result.output
    files = {path.name for path in (tmp_path / "ceiling").iterdir()}
    assert files == {"ceiling.md", "ceiling.csv", "ceiling.json", "ceiling.png"}
    found = json.loads(transfer("data", "ceiling", EXPERT, *options, "--json").stdout)
    assert [row["bins"] for row in found["rows"]] == [4, 64]
    refused(transfer("data", "ceiling", EXPERT, "--bins", "16,x"), "16,64,256", "16,x")
    refused(transfer("data", "ceiling", EXPERT, "--tokenizers", "quantle"), "Did you mean 'quantile'")
