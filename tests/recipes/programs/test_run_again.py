"""Runs that take their trunk from another one, and runs that get more modes and seeds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from tests.run_files import cell, results, rows
from transfer.models.adapter import Adapter
from transfer.models.trunk import Trunk
from transfer.recipes.programs.evaluate_path import find_policies
from transfer.recipes.runs.folder import held
from transfer.recipes.settings.config import load_config

Transfer = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def run(workplace: Path, tiny: list[str], transfer: Transfer) -> Path:
    """The folder of a run of two modes."""
    options = ["--name", "first", "--modes", "embeddings,random-trunk:embeddings"]
    result = transfer("run", "hopper-to-walker2d", *tiny, *options)
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "first"


def test_a_second_run_takes_the_trunk_of_the_first(run: Path, tiny: list[str], transfer: Transfer) -> None:
    options = ["--name", "second", "--modes", "embeddings,random-trunk:embeddings", "--set", f"pretrain.from={run}"]
    result = transfer("run", "hopper-to-walker2d", *tiny, *options)
    assert result.exit_code == 0, result.output
    second = run.parent / "second"
    assert not (second / "trunk").exists()
    for mode in ("embeddings", "random-trunk:embeddings"):
        assert results(second, mode)["trunk"] == results(run, mode)["trunk"]
        one, other = (cell(folder, mode) / "adapter" / "adapter.safetensors" for folder in (run, second))
        assert one.read_bytes() == other.read_bytes()
    ((_, model),) = find_policies(second / "embeddings" / "0", "cpu")
    assert model.trunk.provenance.seed == 0  # type: ignore[attr-defined]
    assert transfer("eval", second, "--episodes", 1).exit_code == 0


def test_the_sizes_of_a_trunk_from_elsewhere_need_not_be_repeated(
    run: Path, tiny: list[str], transfer: Transfer, refused: Callable[..., None], tmp_path: Path
) -> None:
    without = [option for option in tiny if not option.startswith("--set=trunk.")]
    options = ["--modes", "embeddings", "--runs-dir", tmp_path, "--set", f"pretrain.from={run}"]
    result = transfer("run", "hopper-to-walker2d", *without, *options)
    assert result.exit_code == 0, result.output
    third = tmp_path / "hopper-to-walker2d"
    assert load_config(str(third)).trunk == load_config(str(run)).trunk
    assert transfer("run", third, "--resume").exit_code == 0
    # Sizes that somebody chose are not replaced.
    chosen = transfer("run", "hopper-to-walker2d", *without, *options, "--name", "x", "--set", "trunk.width=32")
    refused(chosen, "other sizes", "--set trunk.width=16")
    (tmp_path / "my.toml").write_text(
        f'[trunk]\nwidth = 32\n[pretrain]\nfrom = "{run}"\n[target]\ndata = ["walker2d/medium-expert"]'
    )
    refused(transfer("run", tmp_path / "my.toml", "--runs-dir", tmp_path), "other sizes")
    refused(transfer("run", "hopper-to-walker2d", "--set", f"pretrain.from={tmp_path}"), "no finished trunk of seed 0")


@pytest.mark.parametrize("table", ["", "[quick]\n"])
def test_a_method_that_is_named_is_not_replaced_by_that_of_the_trunk(
    table: str, run: Path, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    file, quick = tmp_path / "my.toml", ["--quick"] if table else []
    preset = "base" if table else "bc"
    target = 'target.data = ["walker2d/medium-expert"]'
    own = f'{table}method.kind = "bc"' if table else ""
    file.write_text(f'extends = "{preset}"\npretrain.from = "{run}"\n{target}\n{own}', encoding="utf-8")
    options = [*quick, "--modes", "embeddings", "--runs-dir", tmp_path]
    sizes = ["--set=adapter.action.kind=ActionTokenizedSpreadEmbedding"]
    result = transfer("run", file, *tiny, *sizes, *options, "--name", "my")
    assert result.exit_code == 0, result.output
    found = results(tmp_path / "my", "embeddings")
    assert found["method"] == {"kind": "bc"} and found["evaluations"][0]["target_return"] is None


def test_a_run_does_not_go_on_with_another_trunk_or_source_adapter_from_elsewhere(
    run: Path, tiny: list[str], transfer: Transfer, refused: Callable[..., None], tmp_path: Path
) -> None:
    origin = Path(shutil.copytree(run, tmp_path / "origin"))
    go = ["run", "hopper-to-walker2d", *tiny, "--runs-dir", tmp_path, "--name", "mine", f"--set=pretrain.from={origin}"]
    assert transfer(*go, "--modes", "embeddings", "--set=adapt.inherit=action").exit_code == 0
    before = results(tmp_path / "mine", "embeddings")
    trunk, adapter = (cell(origin, "pretrain") / name for name in ("trunk", "adapter"))
    other = Adapter.load(adapter)
    with torch.no_grad():
        other.parts()["action"].table.rows.weight.add_(1.0)  # type: ignore[union-attr, operator]
    other.save(adapter)
    again = [*go, "--resume", "--modes", "embeddings,full", "--set=adapt.inherit=action"]
    refused(
        transfer(*again), "the adapter of hopper in", "changed since", before["source"]["fingerprint"][:12], "--name"
    )
    changed = Trunk.load(trunk)
    with torch.no_grad():
        changed.ln_out.weight.add_(1.0)
    changed.save(trunk)
    other.made_on(changed)
    other.save(adapter)
    refused(transfer(*again), "the trunk in", "changed since", before["trunk"]["pretrained"][:12], "--name")
    assert not cell(tmp_path / "mine", "full").exists()


def test_modes_and_seeds_are_added_on_resuming(
    tiny: list[str], transfer: Transfer, workplace: Path, lasting: Callable[[Path], dict[str, bytes]]
) -> None:
    def go(*options: object) -> Result:
        result = transfer("run", "hopper-to-walker2d", *tiny, "--name", "grows", *options)
        assert result.exit_code == 0, result.output
        return result

    folder = workplace / "runs" / "grows"
    go("--modes", "embeddings")
    before = lasting(folder)
    assert "trunk/0" not in go("--modes", "mlp", "--resume").stdout
    assert {row["mode"] for row in rows(folder)} == {"pretrain", "embeddings", "mlp"}
    assert lasting(folder).items() >= before.items()
    assert load_config(str(folder)).adapt.modes == ("embeddings", "mlp")
    go("--modes", "embeddings", "--seeds", 1, "--resume")
    config = load_config(str(folder))
    assert (config.adapt.modes, config.run.seeds) == (("embeddings", "mlp"), (0, 1))
    # the mlp of seed 1 is asked for by no call so far: the run says so, and the run itself finishes it
    assert "Not finished: grows/mlp/1" in (folder / "report.md").read_text()
    shown = transfer("show", folder).stdout
    assert "not finished mlp/1" in shown and f"transfer run {folder} --resume" in shown
    result = transfer("run", folder, "--resume")
    assert result.exit_code == 0 and "embeddings seed 1: finished before, kept" in result.stderr
    assert (cell(folder, "mlp", 1) / "results.json").is_file()
    found = {row["mode"]: row for row in rows(folder)}
    assert [row["seeds"] for row in found.values()] == ["2", "2", "2"]
    for row in found.values():
        assert float(row["score_low"]) <= float(row["score"]) <= float(row["score_high"])
    text = (folder / "report.md").read_text()
    assert "95 % interval" in text and "Not finished" not in text
    one, other = (results(folder, "pretrain", seed)["trunk"]["after"] for seed in (0, 1))
    assert one != other and lasting(folder).items() >= before.items()


def test_sizes_of_the_trunk_hold_for_runs_that_pretrain_none(
    tiny: list[str], transfer: Transfer, workplace: Path
) -> None:
    result = transfer(
        "run", "hopper-from-scratch", *tiny, "--modes", "scratch-adapt,mlp", "--set", "adapt.inherit=action"
    )
    assert result.exit_code == 0, result.output
    folder = workplace / "runs" / "hopper-from-scratch"
    assert Trunk.load(cell(folder, "scratch-adapt") / "trunk").config == load_config(str(folder)).trunk
    assert results(folder, "scratch-adapt")["inherited"] == []
    assert not (folder / "trunk").exists()


def test_a_run_that_another_process_is_at_work_on_is_left_alone(run: Path, tiny: list[str], transfer: Transfer) -> None:
    options = ["--name", "first", "--resume", "--modes", "state", "--seeds", "5"]
    before = (run / "config.toml").read_bytes()
    with held(run):  # locks belong to open files, so this process is another to itself
        result = transfer("run", "hopper-to-walker2d", *tiny, *options)
    assert result.exit_code == 2
    assert "is in use: another process" in result.output and "choose another --name" in result.output
    assert (run / "config.toml").read_bytes() == before
    with held(run):  # was given back, and can be taken again
        pass


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lr = 0.001", "lr = 0.5", "adapt.lr was 0.001, is 0.5"),
        ("episodes = 2\nask", "episodes = 3\nask", "eval.episodes was 2, is 3"),
    ],
)
def test_a_run_whose_settings_were_edited_does_not_go_on(
    old: str, new: str, said: str, run: Path, transfer: Transfer, refused: Callable[..., None], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    config = copy / "config.toml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    refused(transfer("run", copy, "--resume", "--seeds", "1"), "was made with other settings", said)
    assert not (copy / "embeddings" / "1").exists()


def test_a_trunk_that_may_have_seen_what_is_held_out_is_refused(
    run: Path, tiny: list[str], transfer: Transfer, refused: Callable[..., None], tmp_path: Path
) -> None:
    options = [
        "--modes",
        "embeddings",
        "--runs-dir",
        tmp_path,
        "--set",
        f"pretrain.from={run}",
        "--set=run.held_out=true",
    ]
    same = [*tiny, "--set", "target.data=hopper/medium-expert"]
    refused(
        transfer("run", "hopper-to-walker2d", *same, *options), "was trained on", "perhaps on what [target] holds out"
    )
