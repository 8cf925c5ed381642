"""results.json is written, read and checked by one dataclass."""

import json
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.runs.results import EvaluationEntry, Results, Timing, read_results, read_timing


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
    for key in ("inherited", "calibration"):
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
    ],
)
def test_every_mistake_is_named(changes: dict, words: str, run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())
    with pytest.raises(TransferError, match=f"it was edited: .*{words}"):
        Results.from_json(content | changes, "it")


def test_lists_of_an_evaluation_belong_together(run: Path) -> None:
    content = json.loads((run / "embeddings/0/results.json").read_text())["evaluations"][0]
    for changes in ({"lengths": [1]}, {"seeds": []}, {"successes": [True]}):
        with pytest.raises(TransferError, match="differ in length"):
            EvaluationEntry.from_json(content | changes, "it")
    with pytest.raises(TransferError, match="only one of"):
        EvaluationEntry.from_json(content | {"success_rate": 0.5}, "it")
