"""results.json is written, read and checked by one dataclass."""

import json
import math
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.reports.tables.result_lines import tuning_of
from transfer.recipes.runs.results import EvaluationEntry, Results, Timing, read_results, read_timing

TABLE = {"asked": [1.0], "achieved": [1.0], "success": None, "episodes": 1}


@pytest.mark.parametrize("home", ["trunk/0", "embeddings/0"])
def test_what_is_read_is_written_again_byte_for_byte(home: str, run: Path) -> None:
    file = run / home / "results.json"
    again = json.dumps(read_results(file).to_json(), indent=1) + "\n"
    assert again == file.read_text(encoding="utf-8")
    assert ("inherited" in again) == (home != "trunk/0")
    timing = run / home / "timing.json"
    assert json.dumps(read_timing(timing).to_json(), indent=1) + "\n" == timing.read_text(encoding="utf-8")


def test_keys_that_older_versions_did_not_write_may_be_missing(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    for key in ("inherited", "calibration", "source", "adapter_lr", "held_out_error", "method"):
        del content[key]
    for key in ("target", "successes", "success_rate"):
        del content["evaluations"][0][key]
    found = Results.from_json(content, "it")
    assert found.calibration is None and found.evaluations[0].target == ""
    assert read_timing(run / "none.json") == Timing()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mdoe": "full"}, "unknown key 'mdoe'"),
        ({"mode": None, "seed": -1}, r"mode is None .*, seed is -1 "),
        ({"adapter": []}, r"adapter is \[\]"),
        ({"trained": {}}, "no trained.numbers, no trained.total"),
        *(({"held_out_error": bad}, "held_out_error is .* from 0 that") for bad in (-5, 1e99)),
        *(({"held_out_error": bad}, "held_out_error is .* a finite number") for bad in (math.nan, "5", True)),
        ({"final_loss": 1e99}, r"final_loss is 1e\+99"),
        ({"lr": 0.0, "adapter_lr": -1.0}, "lr is 0.0 .* above 0, adapter_lr is -1.0"),
        ({"steps": 0, "batch_size": 0}, "steps is 0 .* from 1, batch_size is 0"),
        ({"probes": [{"step": 2, "mean_score": -3.0, "episodes": 0}]}, r"probes\[0\].episodes is 0"),
        ({"calibration": {**TABLE, "success": [3.0]}}, "calibration.success=3.0"),
    ],
)
def test_every_mistake_is_named(changes: dict, words: str, run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    with pytest.raises(TransferError, match=f"it was edited: .*{words}"):
        Results.from_json(content | changes, "it")


def test_a_tuning_of_the_settings_that_did_not_run_is_not_shown(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    adapter = {**content["adapter"], "tuning": {"kind": "lora", "rank": 8, "sites": ["q", "v"]}}
    parts = {**content["trained"]["parts"], "tuning": {"tensors": 1, "numbers": 1, "bytes": 4}}
    for ran, words in ((content["trained"], ""), ({**content["trained"], "parts": parts}, "lora, rank 8, sites q+v")):
        assert tuning_of(Results.from_json(content | {"adapter": adapter, "trained": ran}, "it")) == words


def test_counts_that_contradict_each_other_are_refused(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    for changes in ({"share": 0.99}, {"numbers": 10**9}):
        with pytest.raises(TransferError, match=r"it was edited: trained\.share is .* parameters train"):
            Results.from_json(content | {"trained": content["trained"] | changes}, "it")


@pytest.mark.parametrize("key", ["train_seconds", "eval_seconds", "tokens_per_second", "peak_memory_bytes"])
def test_no_time_or_size_is_negative(key: str) -> None:
    with pytest.raises(TransferError, match=f"it was edited: {key} is -1"):
        Timing.from_json({key: -1}, "it")


def test_scores_and_losses_of_an_objective_may_be_negative(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    probes = [{"step": 2, "mean_score": -3.0, "episodes": 1}]
    assert Results.from_json(content | {"final_loss": -5.0, "probes": probes}, "it").final_loss == -5.0


def test_lists_of_an_evaluation_belong_together(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())["evaluations"][0]
    for changes in ({"lengths": [1]}, {"seeds": []}, {"successes": [True]}):
        with pytest.raises(TransferError, match="differ in length"):
            EvaluationEntry.from_json(content | changes, "it")
    with pytest.raises(TransferError, match="only one of"):
        EvaluationEntry.from_json(content | {"success_rate": 0.5}, "it")
