"""A results folder says what the runs it was made of say, and nothing that was edited in it is believed."""

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.programs.show import summary
from transfer.recipes.reports.report import report
from transfer.recipes.reports.tables.csv_lines import dump_lines, read_lines
from transfer.recipes.reports.tables.records import read_records
from transfer.recipes.reports.tables.result_lines import CurveLine
from transfer.recipes.runs.folder import settle
from transfer.recipes.settings.config import load_config
from transfer.recipes.settings.pretrained import find_trunk
from transfer.recipes.watching.boards import Board

FILES = ("cells.csv", "episodes.csv", "curves.csv", "calibration.csv")
CONFIG = '[adapt]\nmodes = ["full", "embeddings"]\n[run]\nseeds = [0, 1, 2, 3]\n'
CALIBRATION = {"asked": [500.0, 1000 / 3], "achieved": [450.5, 300.25], "success": [0.5, 1.0], "episodes": 10}


@pytest.fixture(scope="module")
def runs(making_cells_in, played, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs with all that a cell can have: probes, a calibration, success, several targets, a resumed training."""
    make_cell = making_cells_in(tmp_path_factory.mktemp("runs"))
    for seed in range(3):
        probes = [{"step": 10, "mean_score": 90 / 7, "episodes": 2}]
        make_cell("pretrain", seed, [1000.0 / 3], run="one", probes=probes)
        told = {"successes": [True, False], "success_rate": 0.5}
        asked = [played([100.0, 1 / 3], target="best", **told), played([5.0, 6.0], target="p95", target_return=7.5)]
        one = make_cell("embeddings", seed, [1.0], run="one", evaluations=asked, calibration=CALIBRATION)
        make_cell("full", seed, [400.0 + seed, 0.1 + 0.2], run="one")
        two = make_cell("mlp", seed, [300.0, 301.0], run="two")
    (one / "full/1/timing.json").write_text('{"train_seconds": 5.0, "resumed_at_step": 4, "device": "a, b"}')
    for run in (one, two):
        (run / "config.toml").write_text(CONFIG)
    return [one, two]


@pytest.fixture(scope="module")
def published(runs: list[Path], transfer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of both runs."""
    folder = tmp_path_factory.mktemp("published") / "kept"
    result = transfer("report", *runs, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(published, tmp_path / "kept"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_its_report_is_that_of_the_runs_byte_for_byte(runs: list[Path], folder: Path, transfer) -> None:
    made, kept = report(runs), report([folder])
    assert (kept.markdown, kept.csv, kept.title, kept.rows) == (made.markdown, made.csv, made.title, made.rows)
    assert "Not finished: one/full/3, one/embeddings/3, two/full/0" in kept.markdown and "| best |" in kept.markdown
    before = content(folder)
    assert set(before) == {"one.toml", "two.toml", *FILES, "report.md", "report.png"}
    assert before["report.md"].decode() == kept.markdown and before["one.toml"].decode() == CONFIG
    assert transfer("report", folder).stdout == kept.markdown
    assert content(folder) == before
    assert transfer("report", folder, "--format", "csv", "--out", folder.parent / "again").stdout == kept.csv
    assert content(folder.parent / "again") == before


def test_a_real_run_loses_nothing_of_its_report(run: Path, transfer, tmp_path: Path) -> None:
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    made, kept = report([run]), report([tmp_path / "kept"])
    assert (kept.markdown, kept.csv, kept.rows) == (made.markdown, made.csv, made.rows)
    assert (tmp_path / "kept/config.toml").read_bytes() == (run / "config.toml").read_bytes()
    losses = {line["mode"]: line["value"] for line in lines(tmp_path / "kept", "curves.csv")}
    for line in lines(tmp_path / "kept", "cells.csv"):
        assert float(losses[line["mode"]]) == pytest.approx(float(line["final_loss"]))
    calibrated = {(line["mode"], line["episodes"]) for line in lines(tmp_path / "kept", "calibration.csv")}
    assert calibrated == {("pretrain", "1"), ("embeddings", "1")}


def test_one_run_keeps_its_config_under_its_own_name(runs: list[Path], transfer, tmp_path: Path) -> None:
    assert transfer("report", runs[0], "--out", tmp_path / "kept").exit_code == 0
    assert set(content(tmp_path / "kept")) == {"config.toml", *FILES, "report.md", "report.png"}
    assert report([tmp_path / "kept"]).markdown == report(runs[:1]).markdown
    for run in runs:  # a run folder gets no more than its report
        assert not [name for name in FILES if (run / name).exists()]


def test_results_folders_and_run_folders_share_a_table(runs: list[Path], transfer, tmp_path: Path) -> None:
    for run in runs:
        assert transfer("report", run, "--out", tmp_path / "kept" / run.name).exit_code == 0
    mixed = report([tmp_path / "kept/one", runs[1]])
    assert mixed.markdown == report(runs).markdown
    assert report([tmp_path / "kept/one", tmp_path / "kept/two"]).markdown == mixed.markdown
    both = report([runs[0], tmp_path / "kept/one"])
    assert len({row.run for row in both.rows}) == 2


def test_a_run_is_added_to_a_results_folder(runs: list[Path], folder: Path, transfer, tmp_path: Path) -> None:
    one = tmp_path / "one alone"
    transfer("report", runs[0], "--out", one)
    assert transfer("report", one, runs[1], "--out", one).exit_code == 0
    assert content(one) == content(folder)


def test_every_number_is_kept(runs: list[Path], folder: Path) -> None:
    for cell in (cell for record in read_records([folder]) for cell in record.cells):
        run = next(run for run in runs if run.name == cell.line.run)
        name = "trunk" if cell.line.mode == "pretrain" else cell.line.mode
        results = json.loads((run / name / str(cell.line.seed) / "results.json").read_text())
        assert [one.returns for one in cell.evaluations] == [one["returns"] for one in results["evaluations"]]
        assert [one.first.target_return for one in cell.evaluations] == [
            one["target_return"] for one in results["evaluations"]
        ]
        assert cell.line.share == results["trained"]["share"] and cell.line.final_loss == results["final_loss"]
        assert [line.target_return for line in cell.calibration] == (results.get("calibration") or {}).get("asked", [])
        assert cell.probe_scores == [probe["mean_score"] for probe in results["probes"]]
    assert lines(folder, "cells.csv")[0]["held_out_loss"] == ""
    told = [line["success"] for line in lines(folder, "episodes.csv") if line["mode"] == "embeddings"]
    assert told == ["true", "false", "", ""] * 3


def test_the_training_loss_comes_from_the_event_files(runs: list[Path], transfer, tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs[1], tmp_path / "two"))
    with closing(Board(run / "mlp" / "0")) as board:
        for step in (10, 20):
            board.scalars(step, {"train/loss": 1 / step, "train/lr": 0.1})
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    found = [(line["step"], line["name"], line["value"]) for line in lines(tmp_path / "kept", "curves.csv")]
    assert [one[:2] for one in found] == [("10", "train/loss"), ("20", "train/loss")]
    assert float(found[1][2]) == pytest.approx(0.05)


def test_settings_that_are_gone_are_said_to_be(make_cell, transfer, tmp_path: Path) -> None:
    assert transfer("report", make_cell("full", 0, [1.0]), "--out", tmp_path / "kept").exit_code == 0
    assert "had no config.toml" in (tmp_path / "kept/config.toml").read_text()
    assert transfer("report", tmp_path / "kept").exit_code == 0


def test_names_that_spreadsheets_run_are_written_as_text(make_cell, transfer, tmp_path: Path) -> None:
    name = "=cmd|' /C calc'!A0\n'"
    run = make_cell("full", 0, [1.0], environment="hopper", dataset_ids=[name], content_hash="'quoted")
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    assert report([tmp_path / "kept"]).markdown == report([run]).markdown
    (line,) = lines(tmp_path / "kept", "cells.csv")
    assert line["dataset_ids"].startswith("'=cmd") and line["content_hash"] == "''quoted"
    assert "\n" not in line["dataset_ids"]


def test_runs_of_strange_names_are_found_again(making_cells_in, transfer, tmp_path: Path) -> None:
    make_cell, names = making_cells_in(tmp_path), ("mo\x1bday/h op", "=tue/h op", "walk")
    runs = [make_cell("full", seed, [100.0 * seed, 7.0], run=name) for seed, name in enumerate(names)]
    for run in runs:
        (run / "config.toml").write_text(CONFIG)
    assert transfer("report", *runs, "--out", tmp_path / "kept").exit_code == 0
    assert report([tmp_path / "kept"]).markdown == report(runs).markdown
    assert {path.name for path in (tmp_path / "kept").glob("*.toml")} == {
        *("mo\\x1bday-h op.toml", "=tue-h op.toml", "walk.toml")
    }


def test_what_spreadsheets_change_in_a_file_does_not_matter(folder: Path, tmp_path: Path) -> None:
    """A byte-order mark, line ends of Windows, columns in another order, every field in quotes."""
    before = report([folder]).markdown
    for name in FILES:
        with (folder / name).open(newline="", encoding="utf-8") as stream:
            table = [line[::-1] for line in csv.reader(stream)]
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(table)
    assert report([folder]).markdown == before


def test_show_and_other_commands_know_such_a_folder(folder: Path, runs: list[Path], transfer) -> None:
    facts = summary(folder)
    assert facts["kind"] == "results" and len(facts["cells"]) == 12
    mine = summary(runs[0])["cells"]["embeddings/0"]
    assert facts["cells"]["one/embeddings/0"] == {**mine, "mean_score": pytest.approx(mine["mean_score"])}
    assert "transfer report" in transfer("show", folder).stdout
    for command in (["run", folder, "--resume"], ["eval", folder]):
        result = transfer(*command)
        assert result.exit_code == 2 and "Error: " in result.stderr, result.output
    with pytest.raises(TransferError, match="holds results without weights; it takes a run folder"):
        find_trunk(folder, 0)
    for resume in (False, True):
        with pytest.raises(TransferError, match="keeps no weights.*--name NAME"):
            settle(folder, load_config("hopper-to-walker2d"), resume)


Edit = Callable[[str], str]


def without(column: int) -> Edit:
    """The text of a CSV without one column."""

    def edit(text: str) -> str:
        table = [line for line in csv.reader(text.splitlines()) if line.pop(column) is not None]
        return "\n".join(",".join(f'"{field}"' for field in line) for line in table)

    return edit


EDITS: dict[str, tuple[str, Edit, tuple[str, ...]]] = {
    "a column less": ("cells.csv", without(7), ("lacks the column minimum", "Known: run, mode")),
    "the first column less": ("episodes.csv", without(0), ("lacks the column run",)),
    "a column twice": ("episodes.csv", lambda t: t.replace("length", "return", 1), ("column return twice",)),
    "an unknown column": ("curves.csv", lambda t: t.replace("value", "valeu", 1), ("Did you mean 'value'",)),
    "text for a number": ("episodes.csv", lambda t: t.replace(",900.0,", ",much,", 1), ("target_return", "'much'")),
    "no number": ("episodes.csv", lambda t: t.replace(",900.0,", ",nan,", 1), ("a finite number, or",)),
    "an infinity": ("episodes.csv", lambda t: t.replace(",900.0,", ",-inf,", 1), ("a finite number, or",)),
    "too large": ("episodes.csv", lambda t: t.replace(",900.0,", ",1e300,", 1), ("a finite number, or",)),
    "digits of elsewhere": ("episodes.csv", lambda t: t.replace(",900.0,", ",٣,", 1), ("a finite number, or",)),
    "half a seed": ("cells.csv", lambda t: t.replace("embeddings,1,", "embeddings,1.5,", 1), ("a whole number",)),
    "a negative seed": ("cells.csv", lambda t: t.replace("embeddings,1,", "embeddings,-1,", 1), ("a whole number",)),
    "a share above 1": ("cells.csv", lambda t: t.replace("0.075", "7.5", 1), ("a number from 0 to 1",)),
    "no flag": ("cells.csv", lambda t: t.replace(",true,", ",yes,", 1), ("true or false is needed",)),
    "no scale": ("cells.csv", lambda t: t.replace("0.0,1000.0", "0.0,-5.0", 1), ("maximum > minimum",)),
    "an episode of no cell": ("episodes.csv", lambda t: t.replace("two,mlp,2", "two,mlp,7"), ("no cell 'mlp' seed 7",)),
    "a point of no cell": ("curves.csv", lambda t: t.replace("pretrain,2", "full,8", 1), ("no cell 'full' seed 8",)),
    "a target of no cell": ("calibration.csv", lambda t: t.replace("one,", "three,"), ("of run 'three'",)),
    "a cell without episodes": ("episodes.csv", lambda t: drop(t, "two,mlp,1"), ("cell 'mlp' seed 1", "no episodes")),
    "half of the successes": ("episodes.csv", lambda t: t.replace(",true", ",", 1), ("for all of them or for none",)),
    "no last weights": ("episodes.csv", lambda t: t.replace("two,mlp,1,last", "two,mlp,1,all"), ("checkpoint 'last'",)),
    "a cell twice": ("cells.csv", lambda t: t + t.splitlines()[1] + "\n", ("line 2 and", "line 14 both hold")),
    "an episode twice": ("episodes.csv", lambda t: t + t.splitlines()[-1] + "\n", ("are of the same episode of cell",)),
    "a point twice": ("curves.csv", lambda t: t + t.splitlines()[-1] + "\n", ("are of the same value of cell",)),
    "a target twice": ("calibration.csv", lambda t: t + t.splitlines()[-1] + "\n", ("are of the same target of cell",)),
    "other data": ("cells.csv", lambda t: t.replace("walker2d0123", "another", 1), ("trained on other data",)),
    "nothing": ("cells.csv", lambda t: "", ("is empty",)),
    "the head alone": ("cells.csv", lambda t: t.splitlines()[0] + "\n", ("lists no cell",)),
    "episodes: the head alone": ("episodes.csv", lambda t: t.splitlines()[0] + "\n", ("no episodes",)),
    "a field less": ("episodes.csv", lambda t: t.rstrip("\n").rpartition(",")[0], ("10 fields",)),
    "an empty line": ("episodes.csv", lambda t: t + "\n", ("0 fields",)),
    "a line break in a name": ("cells.csv", lambda t: t.replace("none", '"no\nne"', 1), ("text on one line",)),
    "an open quote": ("cells.csv", lambda t: t.replace("none", '"none', 1), ("is no CSV",)),
    "a huge field": ("cells.csv", lambda t: t.replace("none", "n" * 200_000, 1), ("is no CSV",)),
    "a NUL": ("cells.csv", lambda t: t.replace("none", "no\0ne", 1), ("cells.csv",)),
    "a run elsewhere": ("cells.csv", lambda t: t.replace("two,", "../two,"), ("lists no cell", "'two'")),
    "a damaged config": ("one.toml", lambda t: "[adapt", ("one.toml", "not valid TOML")),
}  # fmt: skip


def drop(text: str, start: str) -> str:
    """The lines that do not begin so."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(start)) + "\n"


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_named_and_nothing_is_written(edit: str, folder: Path, transfer, refused, tmp_path: Path) -> None:
    name, change, words = EDITS[edit]
    text = (folder / name).read_bytes().decode()
    assert change(text) != text
    (folder / name).write_bytes(change(text).encode())
    before = content(folder)
    for more in ([], ["--out", tmp_path / "out"]):
        refused(transfer("report", folder, *more), name, *words)
    refused(transfer("show", folder), name, *words)
    assert "git checkout" in transfer("report", folder).stderr or edit == "other data"
    assert content(folder) == before and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [*FILES, "one.toml"])
def test_a_file_that_is_missing_is_named(name: str, folder: Path, transfer, refused) -> None:
    (folder / name).unlink()
    refused(transfer("report", folder), name, "is missing", "git checkout", f"--out {folder}")
    (folder / name).mkdir()
    refused(transfer("report", folder), name)


@pytest.mark.parametrize("run", ["..", "../one", "/one", "a//b", "", "."])
def test_a_run_is_called_as_a_folder_below(run: str, folder: Path) -> None:
    for name in FILES:
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("two,", f"{run},"))
    with pytest.raises(TransferError, match="a run is called"):
        report([folder])


def test_no_file_is_read_that_is_larger_than_any_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.recipes.reports.tables.csv_lines.LARGEST_FILE", 1000)
    with pytest.raises(TransferError, match="larger than 1,000 bytes.*git checkout"):
        report([folder])


def test_values_are_read_as_they_were_written(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e-300, -1e99, 5e-324, 1 / 3, 12345678901234567.0, -0.0, 3]
    names = ["'", "''", "=a", "'=a", "-1", "+", "@x", "a,b", 'say "no"', "", "é±→日本"]
    points = [CurveLine("run", "full", 0, i, name, value) for value in values for i, name in enumerate(names)]
    (tmp_path / "curves.csv").write_text(dump_lines(CurveLine, points), encoding="utf-8")
    read = [line for _, line in read_lines(CurveLine, tmp_path / "curves.csv", "")]
    assert list(map(repr, read)) == list(map(repr, points))
