"""A report believes nothing that lies in a run folder: neither values, nor names, nor that runs are different ones."""

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from transfer.errors import TransferError
from transfer.recipes.reports.escaping import csv_field, drawn, markdown, plain
from transfer.recipes.reports.report import report, write_report

ESCAPE, TURN = "\x1b[2J\x1b]0;owned\x07", "\u202e"
NAMES = [f"{ESCAPE}walker", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a\n| b | c |", f"ab{TURN}cd", "x$^{$y"]
Damage = Callable[[dict[str, Any]], Any]


def damaged(run: Path, damage: Damage, name: str = "results.json") -> Path:
    """Change a JSON file of full/0 in place."""
    file = run / "full" / "0" / name
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    return file


def test_runs_of_one_name_are_told_apart_by_their_path(make_cell, tmp_path: Path) -> None:
    runs = [make_cell("full", 0, [score], run=f"{day}/hop") for day, score in (("monday", 100.0), ("tuesday", 300.0))]
    (tmp_path / "tuesday/hop/full/0/timing.json").write_text('{"train_seconds": 5.0}')
    rows = report(runs).rows
    assert [(row.run, row.score.mean, row.train_seconds) for row in rows] == [
        ("monday/hop", pytest.approx(10.0), 60.0),
        ("tuesday/hop", pytest.approx(30.0), 5.0),
    ]
    assert report(runs).markdown.startswith("# monday/hop, tuesday/hop\n")
    assert report(runs[:1]).title == "hop"
    third = make_cell("full", 0, [1.0], run="wednesday/walk")
    assert report([*runs, third]).title == "monday/hop, tuesday/hop, walk"


def test_a_run_named_twice_is_an_error(make_cell, tmp_path: Path) -> None:
    run = make_cell("full", 0, [1.0])
    (tmp_path / "link").symlink_to(run)
    for other in (run, run / ".." / run.name, tmp_path / "link"):
        with pytest.raises(TransferError, match="named twice"):
            report([run, other])


def test_a_seed_met_twice_in_one_run_is_an_error(make_cell) -> None:
    run = make_cell("full", 0, [1.0])
    shutil.copytree(run / "full" / "0", run / "full" / "1")
    with pytest.raises(TransferError, match=r"full/0.*full/1.*both hold full seed 0"):
        report([run])


def test_cells_of_one_run_that_were_trained_on_other_data_are_refused(make_cell) -> None:
    make_cell("embeddings", 0, [1.0])
    run = make_cell("full", 0, [1.0], content_hash="another" * 8)
    with pytest.raises(TransferError, match=r"trained on other data.*anotheranoth"):
        report([run])


def test_a_seed_in_which_nothing_was_said_of_success_has_none(make_cell, played) -> None:
    """Some environments tell of success only when there is one."""
    for seed, told in ((0, {"successes": [True, False], "success_rate": 0.5}), (1, {})):
        make_cell("embeddings", seed, [1.0], evaluations=[played([1.0, 2.0], **told)])
    run = make_cell("full", 0, [1.0], evaluations=[played([1.0], success_rate=None)])
    rows = {row.mode: row.success for row in report([run]).rows}
    assert rows == {"embeddings": 0.25, "full": 0.0}


def test_an_environment_without_success_has_no_such_column(make_cell) -> None:
    assert "success" not in report([make_cell("full", 0, [1.0])]).markdown


HUGE = 10**400
DAMAGES: list[tuple[Damage, str]] = [
    (lambda c: c.update(mode=3), "mode is 3"),
    (lambda c: c.update(seed="0"), "seed is '0'"),
    (lambda c: c.update(seed=True), "seed is True"),
    (lambda c: c.update(seed=-1), "seed is -1"),
    (lambda c: c.update(seed=HUGE), "number"),
    (lambda c: c.update(environment=None), "environment is None"),
    (lambda c: c.update(dataset_ids="walker"), "dataset_ids is 'walker'"),
    (lambda c: c.update(dataset_ids=[]), "dataset_ids is"),
    (lambda c: c.update(dataset_ids=[{"a": 1}]), r"dataset_ids\[0\] is"),
    (lambda c: c.update(content_hash=5), "content_hash is 5"),
    (lambda c: c.update(reference=[]), "reference is"),
    (lambda c: c["reference"].update(minimum="0"), "reference.minimum is '0'"),
    (lambda c: c["reference"].update(maximum=math.nan), "nan is no number"),
    (lambda c: c["reference"].update(maximum=-5.0), "maximum > minimum"),
    (lambda c: c["reference"].update(more=1), "unknown key 'reference.more'"),
    (lambda c: c.update(trained=3), "trained is 3"),
    (lambda c: c["trained"].update(numbers=1.5), "trained.numbers is 1.5"),
    (lambda c: c["trained"].update(share="7 %"), "trained.share is '7 %'"),
    (lambda c: c["trained"].update(share=2), "trained.share is 2"),
    (lambda c: c["trunk"].update(frozen="yes"), "trunk.frozen is 'yes'"),
    (lambda c: c["trunk"].update(after=[1]), "trunk.after is"),
    (lambda c: c["trunk"].pop("unchanged"), "no trunk.unchanged"),
    (lambda c: c.update(evaluations={}), "evaluations is"),
    (lambda c: c.update(evaluations=[[]]), r"evaluations\[0\] is \[\]"),
    (lambda c: c["evaluations"][0].update(checkpoint="lst"), "no evaluation of checkpoint 'last'"),
    (lambda c: c["evaluations"][0].update(returns=[2.0]), "mean_return is 1, but the mean over the episodes is 2"),
    (lambda c: c["evaluations"][0].update(lengths=[7]), "mean_length is 100, but"),
    (lambda c: c["evaluations"][0].update(successes=[True], success_rate=0.5), "success_rate is 0.5, but"),
    (lambda c: c["reference"].update(maximum=500.0), "mean_score is 0.1, but the mean over the episodes is 0.2"),
    (lambda c: c["evaluations"][0].update(returns=[]), r"evaluations\[0\].returns is \[\]"),
    (lambda c: c["evaluations"][0].update(returns=["1"]), r"returns\[0\] is"),
    (lambda c: c["evaluations"][0].update(returns=[[1.0]]), r"returns\[0\] is"),
    (lambda c: c["evaluations"][0].update(returns=[None]), r"returns\[0\] is"),
    (lambda c: c["evaluations"][0].update(returns=[math.inf]), "no number"),
    (lambda c: c["evaluations"][0].update(returns=[HUGE]), "number"),
    (lambda c: c["evaluations"][0].update(returns=[1e300, -1e300]), r"returns\[0\] is"),
    (lambda c: c["evaluations"][0].update(target=3), "target is 3"),
    (lambda c: c["evaluations"][0].update(target_return=[]), "target_return is"),
    (lambda c: c["evaluations"][0].update(mean_score=None), "mean_score is None"),
    (lambda c: c["evaluations"][0].update(success_rate="half"), "success_rate is 'half'"),
    (lambda c: c["evaluations"][0].update(success_rate=math.nan), "nan is no number"),
    (lambda c: c["evaluations"][0].update(decode={}), "decode is"),
    (lambda c: c.update(probes=None), "probes is None"),
    (lambda c: c.update(probes=[{"mean_score": "5"}]), "mean_score is '5'"),
    (lambda c: c.update(versions=[1]), "versions is"),
    (lambda c: c.update(versions={"torch": {"a": 2}}), r"versions\[torch\] is"),
    (lambda c: c.update(format=[1]), "format"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_value_of_another_kind_is_named(make_cell, damage: Damage, words: str) -> None:
    run = make_cell("full", 0, [1.0])
    damaged(run, damage)
    with pytest.raises(TransferError, match=words):
        report([run])


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '"text"', "{" * 2000, "[" * 100_000, '{"format": 1}', "\x00", ""]
)
def test_a_file_that_is_no_table_is_named(make_cell, content: str, transfer, refused) -> None:
    run = make_cell("full", 0, [1.0])
    (run / "full/0/results.json").write_text(content)
    (run / "config.toml").write_text("")
    for command in ("report", "show"):
        refused(transfer(command, run), "results.json")


@pytest.mark.parametrize("timing", [{"train_seconds": "60"}, {"train_seconds": math.nan}, {"resumed_at_step": [1]}, []])
def test_timings_of_another_kind_are_named(make_cell, timing: Any) -> None:
    run = make_cell("full", 0, [1.0])
    (run / "full/0/timing.json").write_text(json.dumps(timing))
    with pytest.raises(TransferError, match=r"timing\.json"):
        report([run])


@pytest.mark.parametrize("name", ["timing.json", "results.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(make_cell, name: str) -> None:
    run = make_cell("full", 0, [1.0])
    make_cell("full", 1, [1.0])  # what is whole beside it is no report of the run
    (run / "full/0" / name).unlink()
    os.mkfifo(run / "full/0" / name)
    with pytest.raises(TransferError, match=name):
        report([run])


@pytest.mark.parametrize(
    "config",
    [
        "[adapt]\nmodes = 3",
        "adapt = 3",
        "[adapt]\nmodes = [[1]]",
        '[adapt]\nmodes = ["../../etc"]',
        '[adapt]\nmodes = ["a\\u0000b"]',
        f'[adapt]\nmodes = ["{"m" * 5000}"]',
        "[run]\nseeds = [-1]",
        '[run]\nseeds = ["0"]',
        "[run]\nseeds = [1e400]",
        "[run]\nseeds = [" + "9" * 5000 + "]",
        "used = 3",
        "[used.target]\ndata = 3\ncontent = 'x'",
        "a = " + "[" * 10_000,
        "\x00",
        "[adapt",
    ],
)
def test_a_damaged_config_is_named_by_every_command(config: str, make_cell, transfer, refused) -> None:
    run = make_cell("full", 0, [1.0])
    (run / "config.toml").write_text(config)
    for command in (["report", run], ["show", run], ["run", run, "--resume"]):
        if not (command[0] == "show" and "used" in config):
            refused(transfer(*command), "config.toml")
    assert sorted(path.name for path in run.iterdir()) == ["config.toml", "full"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_without_what_they_would_do(name: str, make_cell, transfer: Callable[..., Result]) -> None:
    changes = {"dataset_ids": [name], "versions": {name: name}, "content_hash": name}
    make_cell("embeddings", 0, [1.0], **changes)
    run = make_cell("full", 0, [1.0], **changes)
    for mode in ("embeddings", "full"):
        file = run / mode / "0/results.json"
        content = json.loads(file.read_text()) | {"environment": name, "mode": f"{mode}{name}"}
        content["evaluations"][0]["decode"] = name
        file.write_text(json.dumps(content))
    (run / "config.toml").write_text("")
    shown = [transfer("report", run).stdout, transfer("report", run, "--format", "csv").stdout]
    shown += [transfer("show", run).stdout, transfer("ls", "--runs-dir", run.parent).stdout]
    for text in shown:
        assert "\x1b" not in text and "\x07" not in text and TURN not in text
        assert "\n| b | c |" not in text
    assert "<script" not in shown[0] and (run / "report.png").is_file()
    rows = list(csv.reader(io.StringIO(shown[1])))
    assert len(rows) == 3 and not [field for row in rows for field in row if field[:1] in ("=", "@", "\t")]
    table = [line for line in shown[0].splitlines() if line.startswith("|")]
    assert len(table) == 4 and len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_each_format_has_its_own_escapes() -> None:
    assert plain(f"a{ESCAPE}\nb{TURN}\udcff") == "a\\x1b[2J\\x1b]0;owned\\x07\\nb\\u202e\\udcff"
    assert plain("a\nb", kept="\n") == "a\nb" and plain("é±→日本 walker2d_v5") == "é±→日本 walker2d_v5"
    assert markdown("a|b\n<i>[x](y)`c`") == "a\\|b\\\\n&lt;i&gt;\\[x\\](y)\\`c\\`"
    assert [csv_field(one) for one in ("=1+1", "+1", "-x", "@a", "walk", -1.5, None)] == [
        *("'=1+1", "'+1", "'-x", "'@a"),
        *("walk", -1.5, None),
    ]
    assert drawn("$x$") == r"\$x\$"


def test_a_backend_that_a_notebook_left_does_not_matter(make_cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, because matplotlib is loaded here already."""
    import subprocess
    import sys

    run = make_cell("full", 0, [1.0])
    imports = "from pathlib import Path; from transfer.recipes.reports.report import write_report"
    code = f"{imports}; write_report(Path({str(run)!r}))"
    env = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code, str(run)]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_fails_is_a_warning(make_cell, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    run = make_cell("full", 0, [1.0])

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no font at all")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    assert write_report(run) == run / "report.md"
    assert sorted(path.name for path in run.iterdir() if path.is_file()) == ["report.csv", "report.md"]
    assert "report.png is not drawn: RuntimeError: no font at all" in caplog.text
