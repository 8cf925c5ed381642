"""`transfer show` of a preset or a TOML file, and `transfer cp`: settings that a person reads and edits."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transfer.recipes.cli.commands import cli
from transfer.recipes.matrix.points import load_matrix, matrix_settings
from transfer.recipes.settings.config import config_table, load_config
from transfer.recipes.settings.presets import BASE, preset_text, presets


def call(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.mark.parametrize("name", [*presets(), BASE])
def test_every_setting_is_shown_as_toml_that_reads_as_the_same(name: str) -> None:
    result = call("show", name)
    assert result.exit_code == 0, result.output
    shown = tomllib.loads(result.stdout)
    if name == BASE:
        assert "# base:" not in result.stdout
        return
    matrix = load_matrix(name)
    settings = config_table(load_config(name)) if matrix is None else matrix_settings(matrix)
    assert shown == json.loads(json.dumps(settings))
    assert (
        f"# {name}, which extends {'base' if matrix is None else 'tokenized-actions, which extends base'}"
        in result.stdout
    )


def test_many_runs_are_counted_and_named() -> None:
    lines = call("show", "figure-7", "--quick", "--set", "matrix.axes.trunk.width=64,128").stdout.splitlines()
    at = lines.index(
        "# 6 runs, 36 cells: 12 trunks and 24 adaptations. Cells that several runs have in common are trained once."
    )
    labels = [line.removeprefix("#   ") for line in lines[at + 1 :]]
    assert labels[0] == "hopper-to-walker2d-adapter.action.kind=ActionEmbedding-trunk.width=64" and len(labels) == 6
    assert '"trunk.width" = [64, 128]  # base: none' in lines
    many = call("show", "figure-1", "--set", f"matrix.axes.adapt.steps={list(range(10000, 10025))}").stdout.splitlines()
    assert many[-1] == "# and 80 more" and len([one for one in many if one.startswith("#   walker2d-")]) == 20
    found = json.loads(call("show", "figure-4", "--json").stdout)
    assert found["counts"] == {"runs": 4, "trunks": 0, "adaptations": 20} and len(found["runs"]) == 4
    assert found["settings"]["matrix"] == {"axes": {"adapter.action.bins": [100, 300, 1000, 3000]}}


def test_a_matrix_is_refused_by_show_as_by_run(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('extends = "figure-1"\n[matrix]\nseeds = []\n')
    result = call("show", tmp_path / "my.toml")
    assert result.exit_code == 2 and "matrix.seeds is an empty list" in result.stderr and not result.stdout


def test_what_differs_from_base_is_marked(tmp_path: Path) -> None:
    lines = call("show", "hopper-to-walker2d").stdout.splitlines()
    assert "steps = 3000  # base: 5000" in lines and 'ask = [{ return = "p95" }]  # base: [{}]' in lines
    assert "width = 128" in lines and "steps = 5000" in lines
    quick = call("show", "hopper-to-walker2d", "--quick", "--set", "trunk.width=64").stdout.splitlines()
    assert 'kind = "ActionEmbedding"  # base: "ActionTokenizedSpreadEmbedding"' in quick
    assert "width = 64  # base: 128" in quick and not any(line.startswith("bins") for line in quick)
    (tmp_path / "my.toml").write_text('extends = "hopper-to-walker2d"\n[adapter.tuning]\nkind = "ia3"\n')
    mine = call("show", tmp_path / "my.toml").stdout
    assert "which extends hopper-to-walker2d, which extends base" in mine and 'kind = "ia3"  # base: none' in mine


def test_json_holds_the_settings_and_what_base_has_in_their_place() -> None:
    found = json.loads(call("show", "walker2d-to-hopper", "--json").stdout)
    assert (found["kind"], found["path"], found["extends"]) == ("settings", "walker2d-to-hopper", ["base"])
    assert found["settings"]["adapt"]["steps"] == 3000 and found["base"]["adapt.steps"] == 5000
    assert "trunk.width" not in found["base"]


def test_bad_settings_are_refused_and_folders_take_no_overrides(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[adapt]\nstpes = 3\n")
    for args, words in (
        ([tmp_path / "my.toml"], "Did you mean 'adapt.steps'"),
        (["none.toml"], "no file none.toml"),
        (["hopper-to-walker2d", "--set", "adapter.bins=3"], "adapter.bins is now adapter.action.bins"),
        ([tmp_path, "--quick"], "--quick and --set are for a preset or a TOML file"),
    ):
        result = call("show", *args)
        assert result.exit_code == 2 and words in result.stderr and not result.stdout, result.output


def test_a_copy_extends_base_and_keeps_the_comments(tmp_path: Path) -> None:
    assert call("cp", "hopper-to-walker2d", tmp_path / "my.toml").exit_code == 0
    text = (tmp_path / "my.toml").read_text()
    assert 'extends = "base"' in text and "controls" in text and len(text.splitlines()) < 45
    assert load_config(str(tmp_path / "my.toml")).adapt == load_config("hopper-to-walker2d").adapt
    assert call("cp", BASE, tmp_path / "full.toml").exit_code == 0
    assert (tmp_path / "full.toml").read_text() == preset_text(BASE)
    assert BASE not in [line.split()[0] for line in call("ls").stdout.splitlines() if line.startswith("  ")]
