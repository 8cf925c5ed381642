"""A link inside a run folder is not followed: whoever planted it does not choose where a run writes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Transfer = Callable[..., Result]
Refused = Callable[..., None]
MAIN = "hopper-to-walker2d"

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize("name", ["mlp", "mlp/0", "trunk", "mlp/0/adapter", "mlp/0/results.json", ".report.md.new"])
def test_a_run_with_a_link_in_its_folder_does_not_go_on(
    name: str, run: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    copy, victim = tmp_path / "runs" / "copy", tmp_path / "victim"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "trunk" if name == "trunk" else copy / "none", ignore_errors=True)
    victim.mkdir()
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).symlink_to(victim)
    refused(transfer("run", copy, "--resume", "--modes", "embeddings,mlp"), str(copy / name), "is a link", str(victim))
    assert not list(victim.iterdir())


@pytest.mark.parametrize("name", ["report.md", "report.csv", "report.png", ".report.md.new", ".config.toml.new"])
def test_files_behind_links_of_a_report_stay_as_they_are(
    name: str, run: Path, transfer: Transfer, tmp_path: Path
) -> None:
    copy, victim = tmp_path / "copy", tmp_path / "victim"
    shutil.copytree(run, copy)
    (copy / name).unlink(missing_ok=True)
    victim.write_text("mine")
    (copy / name).symlink_to(victim)
    assert transfer("report", copy).exit_code == 0
    assert victim.read_text() == "mine"
    assert not (copy / "report.md").is_symlink() and (copy / "report.md").read_text().startswith("# copy")


def test_a_run_folder_may_be_a_link_of_its_user(tiny: list[str], transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "elsewhere")
    result = transfer("run", MAIN, *tiny, "--modes", "mlp", "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "elsewhere" / MAIN / "report.md").is_file()
