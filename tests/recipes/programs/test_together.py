"""`transfer eval PATH PATH --together`: adapters of one trunk, played one after another."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from transfer.models.adapter import Adapter

Transfer = Callable[..., Result]
Refused = Callable[..., None]
OPTIONS = ("--episodes", 3, "--envs", 2, "--device", "cpu")


def test_source_and_target_play_together_what_they_play_alone(run: Path, transfer: Transfer) -> None:
    homes = [run / "trunk" / "0", run / "embeddings" / "0"]
    together = transfer("eval", *homes, "--together", "--targets", "p95,max", "--json", *OPTIONS)
    assert together.exit_code == 0, together.output
    entries = json.loads(together.stdout)["evaluations"]
    alone = [
        entry
        for home in homes
        for entry in json.loads(transfer("eval", home, "--targets", "p95,max", "--json", *OPTIONS).stdout)[
            "evaluations"
        ]
    ]
    assert [entry["path"] for entry in entries] == [str(home) for home in homes] * 2
    assert len({str(entry["returns"]) for entry in entries}) == 4
    for wanted in alone:
        (got,) = [e for e in entries if (e["path"], e["target_return"]) == (wanted["path"], wanted["target_return"])]
        assert got["returns"] == pytest.approx(wanted["returns"], abs=1e-3)
        assert (got["lengths"], got["seeds"]) == (wanted["lengths"], wanted["seeds"])
    lines = transfer("eval", *homes, "--together", *OPTIONS).stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(home) for home in homes]


def test_adapters_that_share_no_trunk_are_refused(
    refused: Refused, run: Path, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    others = [
        "--modes",
        "embeddings,mlp",
        "--seeds",
        "1",
        "--runs-dir",
        tmp_path,
        "--name",
        "other",
        "--set",
        "eval.calibrate=0",
    ]
    made = transfer("run", "hopper-to-walker2d", *tiny, *others)
    assert made.exit_code == 0, made.output
    home, other = run / "embeddings" / "0", tmp_path / "other"
    refused(transfer("eval", home, "--together"), "two or more different adapters", str(home))
    refused(transfer("eval", home, home / "adapter", "--together"), "two or more different adapters")
    refused(transfer("eval", home, run / "trunk" / "0"), "2 paths are played with --together")
    refused(transfer("eval", home, tmp_path / "none", "--together"), "no folder", "transfer ls")
    refused(transfer("eval", home, other / "mlp" / "1", "--together"), "a policy without a trunk", "mlp/1")
    trunks = [
        json.loads((one / "trunk/trunk.json").read_text())["fingerprint"]
        for one in (run / "trunk/0", other / "trunk/1")
    ]
    refused(transfer("eval", home, other / "trunk" / "1", "--together"), "the trunks differ", *trunks)
    refused(
        transfer("eval", home, run / "trunk" / "0", "--together", "--video", tmp_path / "a.gif"), "films one adapter"
    )


def test_adapters_trained_with_other_contexts_play_what_they_play_alone(
    run: Path, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    options = ["--modes", "embeddings", "--set", f"pretrain.from={run}", "--set", "adapt.context=5"]
    made = transfer("run", "hopper-to-walker2d", *tiny, *options, "--runs-dir", tmp_path, "--name", "longer")
    assert made.exit_code == 0, made.output
    homes = run / "embeddings" / "0", tmp_path / "longer" / "embeddings" / "0"
    for entry in json.loads(transfer("eval", *homes, "--together", "--json", *OPTIONS).stdout)["evaluations"]:
        (alone,) = json.loads(transfer("eval", entry["path"], "--json", *OPTIONS).stdout)["evaluations"]
        assert entry["returns"] == pytest.approx(alone["returns"], abs=1e-3)


@pytest.mark.parametrize("together", [True, False])
def test_what_cannot_be_played_is_refused_before_another_has_played(
    together: bool, run: Path, refused: Refused, transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two adapters the first could play for minutes, and nothing would be printed of it."""
    own = tmp_path / "own"
    shutil.copytree(run, own)
    last = own / "trunk" / "0"
    paths = [own / "embeddings" / "0", last, "--together"] if together else [own]
    monkeypatch.setattr("transfer.recipes.programs.evaluate_path.evaluate", lambda *given, **options: pytest.fail())
    adapter = Adapter.load(last / "adapter")
    adapter.scales._calibration = None
    adapter.save(last / "adapter")
    refused(transfer("eval", *paths, "--targets", "calibrated", *OPTIONS), "this adapter was not calibrated")
    adapter.env_spec = replace(adapter.env_spec, gym_spec=adapter.env_spec.gym_spec.replace("Hopper-v5", "Missing-v0"))
    adapter.save(last / "adapter")
    refused(transfer("eval", *paths, *OPTIONS), "no environment 'Missing-v0' is registered")
    if not together:
        refused(transfer("eval", *paths, "--env", "Walker2d-v5", *OPTIONS), "the environment is 'walker2d'")
