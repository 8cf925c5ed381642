"""One real run with every mode, small enough to take seconds: what is in its folder, and what commands make of it."""

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.run_files import cell, results, rows
from transfer.recipes.runs.used import read_used
from transfer.recipes.settings.config import load_config
from transfer.recipes.watching import boards
from transfer.runtime.devices import kernel_backend

Transfer = Callable[..., Result]
MAIN = "hopper-to-walker2d"
FROZEN = ("embeddings", "embeddings+ia3", "embeddings+conditioning")
CONTROLS = ("random-trunk:embeddings", "shuffled-trunk:embeddings+ia3")
TRAINED = ("full", "scratch-adapt", "scratch-total")
MODES = (*FROZEN, *CONTROLS, *TRAINED, "mlp")
ASKED = ",".join([*FROZEN, *CONTROLS, "full", "scratch", "mlp"])

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def done(workplace: Path, tiny: list[str], transfer: Transfer) -> Result:
    """The command's answer; the run lies in runs/hopper-to-walker2d. Probes at step 4 of each training."""
    options = ["--modes", ASKED, "--set=eval.probe_every=4", "--set=eval.probe_episodes=1"]
    result = transfer("run", "hopper-to-walker2d", *tiny, *options)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def run(done: Result, workplace: Path) -> Path:
    """Its folder."""
    return workplace / "runs" / "hopper-to-walker2d"


def test_the_folder_holds_what_is_documented_and_nothing_else(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        *("config.toml", "report.md", "report.csv", "report.png", "trunk"),
        *(cell(run, mode).parent.name for mode in MODES),
    }
    for mode in ("pretrain", *MODES):
        found = {path.relative_to(cell(run, mode)).as_posix() for path in cell(run, mode).rglob("*") if path.is_file()}
        logs = sorted(name for name in found if name.startswith("events.out.tfevents."))
        assert [name.endswith(".played") for name in logs] == [False, True], mode  # of the training, then its episodes
        parts = {"adapter/adapter.json", "adapter/adapter.safetensors"} if mode != "mlp" else set()
        parts |= {"mlp/mlp.json", "mlp/mlp.safetensors"} if mode == "mlp" else set()
        parts |= {"trunk/trunk.json", "trunk/trunk.safetensors"} if mode not in (*FROZEN, "mlp") else set()
        parts |= {"results.json", "timing.json", "cell.json"}
        assert {name for name in found if ".tfevents." not in name} == parts, mode


def test_the_config_is_resolved_and_can_be_loaded_again(run: Path) -> None:
    config = load_config(str(run))
    assert config == load_config(str(run / "config.toml"))
    # the Minari ids cannot be had here: what was asked for is kept beside what was used; modes are single ones
    assert (config.source, config.target) == (load_config(MAIN).source, load_config(MAIN).target)
    used = {section: one.data for section, one in read_used(run / "config.toml").items()}
    assert used == {"source": ("hopper/medium-expert",), "target": ("walker2d/medium-expert",)}
    assert set(config.adapt.modes) == set(MODES) and config.trunk.width == 16
    assert set(tomllib.loads((run / "config.toml").read_text())["pretrain"]) >= {"from", "steps", "lr"}


def test_progress_is_on_stderr_and_the_report_on_stdout(done: Result, run: Path) -> None:
    assert done.stdout == (run / "report.md").read_text(encoding="utf-8") + "\n"
    assert "pretrain seed 0 trains" in done.stderr and "Written to" in done.stderr
    assert "|" not in done.stderr


def test_every_training_shows_what_trains_before_it_and_ends_before_its_evaluation(done: Result) -> None:
    lines = done.stderr.splitlines()
    for title, steps in [("pretrain", 10), *((mode, 18 if mode == "scratch-total" else 8) for mode in MODES)]:
        # " left" is in the lines that a slow machine gets in between
        about = [line for line in lines if line.startswith(f"{title} seed 0") and " left" not in line]
        assert about[0] == f"{title} seed 0 trains"
        assert about[1].startswith(f"{title} seed 0: {steps} steps in ")
        assert about[2].startswith(f"{title} seed 0, calibration: 5 episodes in ")
        assert about[3].startswith(f"{title} seed 0, target -> achieved return: ") and "best target" in about[3]
        assert about[4].startswith(f"{title} seed 0, target p95: 2 episodes in ")
        assert "D4RL score" in about[5] and len(about) == 6
        table = lines[lines.index(about[0]) : lines.index(about[1])]
        shown = {line.split()[0]: line.split() for line in table[2:]}
        assert ("frozen" in shown) == (title in (*FROZEN, *CONTROLS)), title
        assert {"state", "action"} <= set(shown) or title == "mlp"


@pytest.mark.parametrize("mode", ["pretrain", *MODES])
def test_results_say_what_was_done(mode: str, run: Path) -> None:
    found = results(run, mode)
    assert (found["format"], found["mode"], found["seed"]) == (1, mode, 0)
    assert found["environment"] == ("hopper" if mode == "pretrain" else "walker2d")
    assert found["dataset_ids"] == [f"bundled/{found['environment']}/{kind}-v0" for kind in ("medium", "expert")]
    assert found["steps"] == {"pretrain": 10, "scratch-total": 18}.get(mode, 8)
    assert set(found["versions"]) >= {"embedding-swap", "python", "torch", "mujoco", "gymnasium", "minari"}
    assert found["trained"]["numbers"] == sum(part["numbers"] for part in found["trained"]["parts"].values())
    (played,) = found["evaluations"]
    assert (played["checkpoint"], played["seeds"], played["decode"]) == ("last", [10000, 10001], "autoregressive")
    assert len(played["returns"]) == 2 and max(played["lengths"]) <= 20
    steps = [probe["step"] for probe in found["probes"]]
    assert steps == [step for step in (4, 8, 12, 16) if step < found["steps"]]
    assert not {"train_seconds", "tokens_per_second"} & set(found), "timings would make equal runs differ"
    timing = json.loads((cell(run, mode) / "timing.json").read_text())
    assert timing["train_seconds"] > 0 and timing["threads"] == 1 and timing["resumed_at_step"] == 0
    assert timing["kernels"] == kernel_backend()


@pytest.mark.parametrize("mode", ["pretrain", "embeddings", "mlp"])
def test_every_policy_keeps_what_it_achieved_for_what_it_was_asked(mode: str, run: Path) -> None:
    found = results(run, mode)
    file = cell(run, mode) / ("mlp/mlp.json" if mode == "mlp" else "adapter/adapter.json")
    statistics = json.loads(file.read_text())["statistics"]
    assert statistics["calibration"] == found["calibration"]
    quantiles = [statistics["return_quantiles"][name] for name in ("p50", "p75", "p90", "p95", "max")]
    assert found["calibration"]["asked"] == pytest.approx(quantiles) and found["calibration"]["episodes"] == 1


@pytest.mark.parametrize("mode", [*FROZEN, *CONTROLS])
def test_a_frozen_trunk_is_proved_unchanged(mode: str, run: Path) -> None:
    trunk, saved = results(run, mode)["trunk"], json.loads((run / "trunk/0/trunk/trunk.json").read_text())
    assert trunk["frozen"] and trunk["unchanged"] is True and trunk["before"] == trunk["after"]
    assert trunk["pretrained"] == saved["fingerprint"]
    if mode in FROZEN:
        assert trunk["after"] == trunk["pretrained"]
    else:  # a control stands on other weights, which are frozen and saved
        kept = json.loads((cell(run, mode) / "trunk" / "trunk.json").read_text())
        assert trunk["after"] == kept["fingerprint"] != trunk["pretrained"]
    if mode.startswith("random"):
        assert trunk["after"] == saved["record"]["start"] == results(run, "pretrain")["trunk"]["before"]


@pytest.mark.parametrize(("preset", "asked"), [("bc", {}), ("udrl", {"horizon": "auto"}), ("hopper-from-scratch", {})])
def test_an_mlp_is_conditioned_as_the_method_and_says_so(
    preset: str, asked: dict[str, str], tiny: list[str], transfer: Callable[..., Result], tmp_path: Path
) -> None:
    result = transfer("run", preset, *tiny, "--modes", "mlp", "--runs-dir", tmp_path, "--set=eval.episodes=1")
    assert result.exit_code == 0, result.output
    found = results(tmp_path / preset, "mlp")
    kind, played = found["method"]["kind"], found["evaluations"][0]
    assert kind == {"hopper-from-scratch": "dt"}.get(preset, preset) and played["ask"] == (asked or None)
    assert (played["target_return"] is None) == (found["calibration"] is None) == (kind == "bc")
    assert ("horizon" in result.stdout) == (kind == "udrl")
    assert f"method {kind}" in transfer("show", tmp_path / preset / "mlp/0").stdout
    again = transfer("eval", tmp_path / preset / "mlp/0", "--episodes", 1)
    assert again.exit_code == 0 and ("target" in again.stdout) == (kind != "bc"), again.output


@pytest.mark.parametrize("mode", [*TRAINED, "mlp"])
def test_a_trunk_that_trains_says_so(mode: str, run: Path) -> None:
    trunk = results(run, mode)["trunk"]
    assert (trunk["frozen"], trunk["unchanged"]) == (False, None)
    assert (trunk["before"] is None) == (mode == "mlp")
    assert (trunk["pretrained"] is not None) == (mode == "full")
    assert mode == "mlp" or trunk["before"] != trunk["after"]


def test_the_report_has_a_row_for_each_mode(run: Path) -> None:
    assert [row["mode"] for row in rows(run)] == ["pretrain", *load_config(str(run)).adapt.modes]
    words = {row["mode"]: row["trunk"] for row in rows(run)}
    assert words == {
        **{mode: "yes" for mode in (*FROZEN, *CONTROLS)},
        **{"full": "copy", "scratch-adapt": "own", "scratch-total": "own", "pretrain": "own", "mlp": "none"},
    }
    assert {row["score_low"] for row in rows(run)} == {""}, "one seed prints no interval"
    assert "| walker2d | embeddings+ia3 |" in (run / "report.md").read_text()


@pytest.mark.parametrize("mode", ["pretrain", "embeddings+ia3", "mlp"])
def test_tensorboard_holds_exactly_the_documented_tags(mode: str, run: Path) -> None:
    events = EventAccumulator(str(cell(run, mode)), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    tags, found = events.Tags(), results(run, mode)
    home = "eval/hopper" if mode == "pretrain" else "eval/walker2d"
    evaluated = {f"{home}/{name}" for name in boards.EVALUATED} - {f"{home}/success"}
    left_out = {"train/adapter_lr", *(["train/tokenizer_error"] if mode == "mlp" else [])}
    trained = {f"train/{name}" for name in boards.TRAINED} - left_out
    assert set(tags["scalars"]) == evaluated | trained | {"train/loss/action", "score"}
    assert events.Scalars("score")[0].value == pytest.approx(found["evaluations"][0]["mean_score"])
    dims = 3 if mode == "pretrain" else 6
    kinds = ("dataset", "policy")
    assert set(tags["histograms"]) == {f"values/{kind}_actions/{i}" for kind in kinds for i in range(dims)}
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(events.summary_metadata)
    assert [event.step for event in events.Scalars("train/loss")] == list(range(2, found["steps"] + 1, 2))
    assert [event.step for event in events.Scalars(f"{home}/score")] == [*range(4, found["steps"], 4), found["steps"]]
    assert events.Scalars(f"{home}/score")[-1].value == pytest.approx(found["evaluations"][0]["mean_score"])
    assert events.Scalars("train/loss")[-1].value == pytest.approx(found["final_loss"])
    assert [event.value for event in events.Scalars("train/trainable")] == [found["trained"]["numbers"]]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", ["trunk/0", "embeddings+ia3/0", "trunk unchanged", "no frozen trunk"]),
        ("embeddings/0", ["adapter ", "for trunk", "result ", "trunk unchanged"]),
        ("mlp/0", ["mlp ", "everything", "result "]),
        ("trunk/0", ["trunk ", "adapter ", "result "]),
        ("trunk/0/trunk", ["nothing in frozen modes", "width 16"]),
        ("full/0/adapter", ["environment  walker2d: state 17, action 6", "returns", "action, state"]),
    ],
)
def test_show_tells_what_a_folder_holds(path: str, words: list[str], run: Path, transfer: Transfer) -> None:
    result = transfer("show", run / path)
    assert result.exit_code == 0, result.output
    assert all(word in result.stdout for word in words), result.stdout
    assert "not finished" not in result.stdout
    assert isinstance(json.loads(transfer("show", run / path, "--json").stdout), dict)


def test_eval_repeats_the_evaluation_of_every_cell(run: Path, transfer: Transfer) -> None:
    result = transfer("eval", run, "--episodes", 2, "--envs", 2, "--targets", "p95", "--json")
    assert result.exit_code == 0, result.output
    played = json.loads(result.stdout)["evaluations"]
    assert {Path(entry["path"]) for entry in played} == {cell(run, mode) for mode in ("pretrain", *MODES)}
    for entry in played:
        before = json.loads((Path(entry["path"]) / "results.json").read_text())["evaluations"][0]
        assert entry["returns"] == pytest.approx(before["returns"]), entry["path"]
        assert entry["target_return"] == pytest.approx(before["target_return"])


@pytest.mark.parametrize("path", ["embeddings+ia3/0", "embeddings+ia3/0/adapter", "mlp/0/mlp"])
def test_eval_plays_a_cell_and_an_adapter(path: str, run: Path, transfer: Transfer) -> None:
    options = ["--episodes", 1, "--targets", "max,3000", "--decode", "parallel", "--device", "cpu"]
    result = transfer("eval", run / path, *options)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2 and "target 3000" in result.stdout and "parallel" in result.stdout
    assert "1 episodes in" in result.stderr


def test_eval_of_an_adapter_that_moved_asks_for_its_trunk(run: Path, transfer: Transfer, tmp_path: Path) -> None:
    shutil.copytree(run / "embeddings/0/adapter", tmp_path / "shared")
    alone = transfer("eval", tmp_path / "shared", "--episodes", 1)
    assert alone.exit_code == 2 and "--trunk FOLDER" in alone.stderr
    result = transfer("eval", tmp_path / "shared", "--episodes", 1, "--trunk", run / "trunk/0/trunk")
    assert result.exit_code == 0, result.output


def test_eval_finds_the_trunk_of_an_adapter_by_any_path(
    run: Path, transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(run / "embeddings/0/adapter")
    monkeypatch.chdir(run / "embeddings/0/adapter")
    for path in (".", tmp_path / "mine"):
        result = transfer("eval", path, "--episodes", 1)
        assert result.exit_code == 0, result.output


def test_the_damaged_trunk_of_another_seed_stops_no_eval(run: Path, transfer: Transfer, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "copied"))
    shutil.copytree(copied / "trunk/0", copied / "trunk/00")
    (copied / "trunk/0/trunk/trunk.json").write_text("{")
    result = transfer("eval", copied / "embeddings/0", "--episodes", 1)
    assert result.exit_code == 0, result.output
    shutil.rmtree(copied / "trunk/00")
    result = transfer("eval", copied / "embeddings/0", "--episodes", 1)
    assert result.exit_code == 2 and "trunk/0/trunk/trunk.json is not valid JSON" in result.stderr


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") not in ("egl", "osmesa"), reason="rendering needs MUJOCO_GL")
def test_eval_films_an_episode(run: Path, transfer: Transfer, tmp_path: Path) -> None:
    result = transfer("eval", run / "embeddings/0", "--episodes", 1, "--video", tmp_path / "out.gif")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.gif").read_bytes()[:6] == b"GIF89a"
