"""Names of sources: what the config says decides, names that collide are refused, and every advice can be followed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from transfer.envs.loading import load_episodes
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.recipes.programs.pretrain import named_sources
from transfer.recipes.programs.source_names import check_name, default_name
from transfer.recipes.runs import prepare
from transfer.recipes.runs.checks import load_source
from transfer.recipes.runs.used import read_used
from transfer.recipes.settings.config import load_config

Transfer = Callable[..., Result]
Refused = Callable[..., None]
TWO = """extends = "base"
[[source]]
data = ["hopper/medium-expert"]
[[source]]
data = ["walker2d/medium-expert"]
name = "walk"
[target]
data = ["walker2d/medium-expert"]
"""
ONE = """extends = "base"
[[source]]
data = ["hopper/medium-expert"]
name = "x"
weight = 0.5
[target]
data = ["hopper/medium-expert"]
"""

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def go(workplace: Path, tiny: list[str], transfer: Transfer) -> Callable[..., Result]:
    """go("two", *options) runs one of the files above."""
    for name, text in (("two", TWO), ("one", ONE)):
        (workplace / f"{name}.toml").write_text(text, encoding="utf-8")
    return lambda name, *options: transfer("run", workplace / f"{name}.toml", *tiny, "--set=eval.calibrate=0", *options)


@pytest.fixture(scope="module")
def made(go: Callable[..., Result], workplace: Path) -> Path:
    result = go("two", "--modes", "embeddings")
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "two"


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "two"))


def test_a_run_keeps_the_names_of_its_sources(made: Path) -> None:
    assert [one.name for one in read_used(made / "config.toml").values()] == ["hopper", "walk", ""]


@pytest.mark.parametrize(
    "command", ["run {} --resume", "eval {}/trunk/0 --episodes 1", "show {}", "show {}/trunk/0", "report {}"]
)
def test_a_folder_of_no_source_is_refused_and_nothing_is_written(
    copied: Path, transfer: Transfer, refused: Refused, command: str
) -> None:
    shutil.copytree(copied / "trunk/0/adapters/walk", copied / "trunk/0/adapters/other")
    before = sorted(copied.rglob("*"))
    refused(transfer(*command.format(copied).split()), "holds other", "other sources: hopper, walk", "Move")
    assert sorted(copied.rglob("*")) == before


def test_a_source_whose_folder_is_gone_is_trained_again(
    copied: Path, made: Path, transfer: Transfer, refused: Refused, lasting: Callable[[Path], dict[str, bytes]]
) -> None:
    shutil.rmtree(copied / "trunk/0/adapters/walk")
    words = "lacks the adapter of its source walk", f"transfer run {copied} --resume"
    refused(transfer("eval", copied / "trunk/0", "--episodes", 1), *words)
    refused(transfer("show", copied / "trunk/0"), *words)
    refused(transfer("run", "hopper-to-walker2d", f"--set=pretrain.from={copied}"), *words)
    assert "trunk/0\nFinish it with" in transfer("show", copied).stdout
    result = transfer("run", copied, "--resume")
    assert result.exit_code == 0, result.output
    assert lasting(copied) == lasting(made)


def test_a_trunk_without_its_run_wants_the_sources_that_it_was_trained_on(copied: Path, tmp_path: Path) -> None:
    loose = Path(shutil.copytree(copied / "trunk/0", tmp_path / "loose"))
    assert list(load_source(loose)[1]) == ["hopper", "walk"]
    shutil.rmtree(loose / "adapters/walk")
    with pytest.raises(TransferError, match="adapters for hopper, and its trunk was trained on .*walker2d"):
        load_source(loose)


def test_a_run_whose_file_names_a_folder_elsewhere_is_refused(copied: Path, transfer: Transfer) -> None:
    file = copied / "config.toml"
    file.write_text(file.read_text().replace('name = "walk"\n', 'name = "../../walk"\n'), encoding="utf-8")
    result = transfer("show", copied)
    assert result.exit_code == 2 and "letters, digits" in result.stderr


def test_the_source_that_was_left_out_can_be_named_when_the_run_goes_on(
    copied: Path, transfer: Transfer, refused: Refused
) -> None:
    again = ["run", copied, "--resume", "--modes", "tuning"]
    refused(transfer(*again), "Name one: --set adapt.inherit_from=hopper")
    result = transfer(*again, "--set=adapt.inherit_from=walk")
    assert result.exit_code == 0, result.output
    walk, mine = (Adapter.load(copied / place) for place in ("trunk/0/adapters/walk", "tuning/0/adapter"))
    assert walk.state.state_dict().keys() and all(
        value.equal(mine.state.state_dict()[name]) for name, value in walk.state.state_dict().items()
    )
    refused(transfer(*again, "--set=adapt.inherit_from=hopper"), "adapt.inherit_from is 'walk' there")


def test_a_run_without_a_trunk_takes_one_when_it_goes_on(
    made: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    go = ["run", "hopper-from-scratch", *tiny, "--set=eval.calibrate=0", "--runs-dir", tmp_path]
    assert transfer(*go).exit_code == 0
    again = [*go, "--resume", "--modes", "embeddings"]
    refused(transfer(*again), "--set source.fallback=hopper/medium-expert", "--set pretrain.from=RUN")
    result = transfer(*again, "--set", f"pretrain.from={made}")
    assert result.exit_code == 0, result.output
    refused(transfer(*again, "--set", "source.fallback=hopper/medium-expert"), "source.fallback is '' there")


def test_one_source_with_a_name_can_be_taken_over_from_by_it(
    go: Callable[..., Result], refused: Refused, transfer: Transfer, tiny: list[str], tmp_path: Path
) -> None:
    options = ["--modes", "tuning", "--runs-dir", tmp_path]
    refused(go("one", *options, "--set=adapt.inherit_from=hopper"), "'hopper'", "Known: x")
    result = go("one", *options, "--set=adapt.inherit_from=x")
    assert result.exit_code == 0, result.output
    other = ["run", "hopper-to-walker2d", *tiny, *options, "--set", f"pretrain.from={tmp_path / 'one'}", "--name", "b"]
    refused(transfer(*other, "--set=adapt.inherit_from=y"), "'y'", "Known: x")


@pytest.mark.parametrize("modes", ["scratch", "mlp", "embeddings"])
@pytest.mark.parametrize("origin", ["two", "from"])
def test_a_source_that_is_none_is_refused_whatever_is_trained(
    modes: str,
    origin: str,
    go: Callable[..., Result],
    made: Path,
    tiny: list[str],
    transfer: Transfer,
    refused: Refused,
    tmp_path: Path,
) -> None:
    options = ["--modes", modes, "--set=adapt.inherit_from=wolk", "--runs-dir", tmp_path]
    other = ["hopper-to-walker2d", *tiny, f"--set=pretrain.from={made}"]
    result = go("two", *options) if origin == "two" else transfer("run", *other, *options)
    refused(result, "'wolk'", "Did you mean 'walk'?", "hopper")
    assert not list(tmp_path.iterdir())


def test_a_source_cannot_be_named_where_there_is_none(transfer: Transfer, refused: Refused, tmp_path: Path) -> None:
    result = transfer("run", "hopper-from-scratch", "--set=adapt.inherit_from=hopper", "--runs-dir", tmp_path)
    refused(result, "'hopper'", "Known: none. No data are named under [source]")


@pytest.mark.parametrize("name", ["adapter", "Trunk", "adapters", "con", "LPT1", "..", "a/b", "a.b", "-" * 81])
def test_names_of_other_files_are_refused(name: str, refused: Refused, transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(TWO.replace('"walk"', f'"{name}"'), encoding="utf-8")
    refused(transfer("run", tmp_path / "my.toml", "--runs-dir", tmp_path / "runs"), "my.toml", f"name '{name[:50]}")
    assert not (tmp_path / "runs").exists()


def test_names_that_differ_in_their_case_alone_are_refused(
    refused: Refused, transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.toml"
    file.write_text(TWO.replace('"walk"', '"Hopper"'), encoding="utf-8")
    refused(transfer("run", file, "--runs-dir", tmp_path / "runs"), "two [[source]] tables are of 'Hopper'")
    file.write_text(TWO.replace('"walk"', '"A"').replace("[[source]]", '[[source]]\nname = "a"', 1), encoding="utf-8")
    refused(transfer("run", file, "--runs-dir", tmp_path / "runs"), "the names 'a' and 'A', which can be one folder")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ("hopper", "hopper"),
        ("my_ns/MyEnv-v0", "my_ns-MyEnv-v0"),
        ("pkg:Env-v0", "pkg-Env-v0"),
        ("MyEnv.v2", "MyEnv-v2"),
        ("../x", "x"),
        ("Adapter", "Adapter-1"),
        ("é", "source"),
        ("e" * 100, "e" * 80),
    ],
)
def test_names_of_environments_become_names_of_folders(environment: str, name: str) -> None:
    assert default_name(environment) == check_name(name) == name


def test_the_default_name_of_a_source_is_one_of_a_folder() -> None:
    """Of a namespaced environment, in a run and in a call of the library."""
    data = load_episodes("hopper/medium-expert")
    data = replace(data, env_spec=replace(data.env_spec, name="my_ns/MyEnv-v0"))
    bodies = prepare.bodies_of(load_config("hopper-to-walker2d"))
    assert prepare.names_of(bodies, {"source": data.env_spec}) == {"my_ns-MyEnv-v0": "source"}
    assert list(named_sources([data])) == ["my_ns-MyEnv-v0"]


def test_show_names_every_source(made: Path, transfer: Transfer) -> None:
    shown = json.loads(transfer("show", made / "trunk/0", "--json").stdout)
    assert list(shown["sources"]) == ["hopper", "walk"]
