"""What the report of a matrix says, and that it says what it cannot say."""

import csv
import io
import json
import time

import pytest

from transfer.errors import TransferError
from transfer.recipes.reports.matrix.coordinates import Coordinates
from transfer.recipes.reports.matrix.matrix_report import make_matrix_report
from transfer.recipes.reports.matrix.transfer_ratio import LEAST_GAP
from transfer.recipes.reports.report import report
from transfer.recipes.reports.tables.matrix_folder import matrix_records, write_matrix_report

RANDOM = "random-trunk:embeddings"


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def three(matrix, embeddings, random, full, **axes) -> str:
    label = matrix.point(**axes)
    for mode, scores in (("embeddings", embeddings), (RANDOM, random), ("full", full)):
        matrix.cells(label, mode, scores)
    return label


def test_the_transfer_ratio_of_a_worked_example(matrix, row) -> None:
    three(matrix, [20.0, 40.0], [10.0, 10.0], [50.0, 50.0])
    text = matrix.write()
    # Seed 0 gives 10 of 40, seed 1 30 of 40; a resampled experiment has one of them twice, or both.
    assert row(text, mode="embeddings")["transfer ratio"] == "0.50 (0.25 to 0.75)"
    assert row(text, mode=RANDOM)["transfer ratio"] == "control"
    assert row(text, mode="full")["transfer ratio"] == "1 by definition"
    found = {one["mode"]: one for one in lines_of((matrix.folder / "report.csv").read_text())}
    values = [found["embeddings"][f"transfer_ratio{end}"] for end in ("", "_low", "_high", "_reason")]
    assert values == ["0.5", "0.25", "0.75", ""]
    assert found["full"]["transfer_ratio"] == "" and found["full"]["transfer_ratio_reason"] == "1 by definition"


def test_the_transfer_ratio_is_paired_by_seed(matrix, row) -> None:
    # Every seed is exactly halfway, however far the seeds lie apart.
    three(matrix, [20.0, 60.0, 35.0], [10.0, 40.0, 20.0], [30.0, 80.0, 50.0])
    assert row(matrix.write(), mode="embeddings")["transfer ratio"] == "0.50 (0.50 to 0.50)"


@pytest.mark.parametrize(
    ("random", "full", "reason"),
    [
        ([10.0, 10.0], [19.0, 19.5], f"full is less than {LEAST_GAP:g} points above the random trunk"),
        ([10.0, 10.0], [0.0, 90.0], "the interval of full less the random trunk holds 0"),
        ([10.0, 10.0], [50.0], "there are 1"),
        ([10.0, 10.0], [], "no results of full"),
        ([], [50.0, 50.0], f"no results of {RANDOM}"),
        ([], [], f"no results of {RANDOM} and full"),
    ],
)
def test_a_transfer_ratio_is_empty_with_its_reason(matrix, row, random, full, reason: str) -> None:
    three(matrix, [20.0, 40.0], random, full)
    text = matrix.write()
    assert row(text, mode="embeddings")["transfer ratio"] == "- (1)"
    assert reason in text[text.index("\n(1) ") :].splitlines()[1]
    (found,) = [one for one in lines_of((matrix.folder / "report.csv").read_text()) if one["mode"] == "embeddings"]
    assert found["transfer_ratio"] == "" and reason in found["transfer_ratio_reason"]


def test_differences_to_every_control_that_is_there(matrix, table) -> None:
    label = matrix.point()
    controls = {RANDOM: 10.0, "scaled-random-trunk:embeddings": 12.0, "shuffled-trunk:embeddings": 15.0, "full": 50.0}
    controls |= {"scratch-adapt": 20.0, "mlp": 30.0}
    for mode, score in {"embeddings": 40.0, **controls}.items():
        matrix.cells(label, mode, [score, score + 1])
    found = table(matrix.write(), "Differences of scores")
    assert {one["less"]: one["difference"] for one in found if one["mode"] == "embeddings"} == {
        mode: f"{40.0 - score:+.1f}" for mode, score in controls.items()
    }
    assert all(one["p"] == "0.500" for one in found if one["difference"] != "+0.0")
    (line,) = [one for one in lines_of((matrix.folder / "report.csv").read_text()) if one["mode"] == "embeddings"]
    assert float(line["less full"]) == -10.0 and line["less full_reason"] == ""


def test_five_seeds_have_an_interquartile_mean_and_fewer_say_why_not(matrix, row) -> None:
    many, few = matrix.point(size=10), matrix.point(size=20)
    matrix.cells(many, "embeddings", [10.0, 20.0, 30.0, 40.0, 900.0])
    matrix.cells(few, "embeddings", [10.0])
    text = matrix.write()
    assert row(text, size="10")["IQM"].startswith("30.0 (")
    assert row(text, size="20")["IQM"] == "- (3)" and row(text, size="20")["95 % interval"] == "- (2)"
    assert "(2) one seed says nothing about another; (3) an interquartile mean takes five seeds" in text
    assert "No IQM" not in text


def test_a_column_that_no_row_has_is_told_in_the_notes(matrix, table) -> None:
    matrix.cells(matrix.point(), "scratch-adapt", [10.0], trunk={**frozen(False), "pretrained": None})
    text = matrix.write()
    assert set(table(text)[0]) == {"mode", "seeds", "score", "trained", "training"}
    for told in (
        "No 95 % interval: one seed says nothing about another.",
        "No IQM: an interquartile mean takes five seeds.",
        "No transfer ratio: no mode works on a frozen pretrained trunk.",
        "No held-out error: no held-out error was measured.",
        "No memory: the memory was not measured.",
    ):
        assert f"\n- {told}\n" in text


def frozen(yes: bool) -> dict[str, object]:
    return {"frozen": yes, "pretrained": "ab", "before": "ab", "after": "cd", "unchanged": False if yes else None}


def test_a_changed_trunk_is_loud_and_compared_with_nothing(matrix, row) -> None:
    label = matrix.point()
    matrix.cells(label, "embeddings", [40.0, 41.0], trunk=frozen(True))
    matrix.cells(label, RANDOM, [10.0, 11.0])
    text = matrix.write()
    assert "do not use these results" in text and row(text, mode="embeddings")["trunk unchanged"] == "NO"
    assert text.count("its frozen trunk has changed") == 2


def test_seconds_memory_parameters_and_held_out_error(matrix, row) -> None:
    label = matrix.point()
    matrix.cells(label, "embeddings", [10.0, 20.0], held_out_error=0.0125)
    for seed, size in ((0, 2**28), (1, 2**29)):
        timing = {"train_seconds": 60.0 * (seed + 1), "peak_memory_bytes": size, "peak_gpu_bytes": 2**30}
        (matrix.folder / label / "embeddings" / str(seed) / "timing.json").write_text(json.dumps(timing))
    found = row(matrix.write())
    assert found["memory"] == "512 MiB" and found["GPU memory"] == "1,024 MiB"
    assert found["training"] == "1 min 30 s" and found["held-out error"] == "0.0125" and found["trained"] == "45,000"


def test_missing_cells_are_shown_with_their_reasons(matrix, row) -> None:
    label, other = matrix.point(size=10), matrix.point(size=20)
    matrix.cells(label, "embeddings", [10.0, 20.0])
    matrix.gap(label, "embeddings", 2, "failed: RuntimeError: out\nof memory")
    matrix.gap(label, "full", 0, "its trunk is missing")
    matrix.gap(other, "embeddings", 0)
    text = matrix.write()
    assert "2 of 5 cells have results; 3 have none" in text
    assert row(text, size="10", mode="embeddings")["seeds"] == "2 of 3 (1)"
    assert row(text, size="10", mode="full")["score"].startswith("- (")
    lost = row(text, size="20", mode="embeddings")
    assert lost["seeds"].startswith("0 of 1 (") and lost["score"].startswith("- (") and lost["trained"] == "-"
    listed = text[text.index("## Cells without results") :]
    assert f"- failed: RuntimeError: out of memory (1): {label} embeddings, seed 2." in listed
    assert f"- its trunk is missing (1): {label} full, seed 0." in listed
    assert f"- not finished (1): {other} embeddings, seed 0." in listed
    written = lines_of((matrix.folder / "cells.csv").read_text())
    (gap,) = [one for one in written if (one["run"], one["mode"]) == (label, "full")]
    assert gap.pop("reason") == "its trunk is missing" and len(gap.pop("checksum")) == 64
    assert {name: value for name, value in gap.items() if value} == {
        "run": label, "mode": "full", "seed": "0", "source_bodies": "hopper", "target_body": "walker2d",
        "method": "dt", "size": "10", "axes": "{}",
    }  # fmt: skip
    csv_row = [one for one in lines_of((matrix.folder / "report.csv").read_text()) if one["mode"] == "full"]
    assert csv_row[0]["score"] == "" and csv_row[0]["missing_reasons"] == "0: its trunk is missing"


def test_a_matrix_without_any_result_still_says_what_is_missing(matrix, row) -> None:
    matrix.gap(matrix.point(), "full", 0, "failed: no data")
    text = matrix.write()
    assert "0 of 1 cells have results" in text and row(text)["score"] == "- (1)" and "(1) failed: no data" in text
    assert report([matrix.folder]).markdown == text


def test_results_that_were_not_planned_are_shown(matrix, row) -> None:
    matrix.cells(matrix.point(), "embeddings", [10.0])
    matrix.planned.clear()
    assert row(matrix.write())["score"] == "10.0"


def test_each_pair_has_a_table_of_what_differs(matrix, table) -> None:
    for source in ("hopper", "ant+swimmer"):
        for width in (64, 256):
            matrix.cells(matrix.point(source=source, trunk__width=width, trunk__depth=2), "full", [float(width)])
    text = matrix.write()
    assert text.startswith("# Matrix of 2 sources, 1 target, 2 values of trunk.width, 1 mode\n")
    assert "Alike everywhere: method dt, size all, trunk.depth 2." in text
    for source in ("hopper", "ant+swimmer"):
        found = table(text, f"## {source} to walker2d")
        assert [(one["trunk.width"], one["score"]) for one in found] == [("64", "64.0"), ("256", "256.0")]
        assert not {"method", "size", "trunk.depth", "source"} & set(found[0])


def test_runs_at_one_place_are_told_apart_by_their_names(matrix, table) -> None:
    for label, score in (("one", 10.0), ("two", 20.0)):
        matrix.points.append(Coordinates(label, "hopper", "walker2d"))
        matrix.cells(label, "full", [score])
    assert [(one["run"], one["score"]) for one in table(matrix.write())] == [("one", "10.0"), ("two", "20.0")]


def test_a_target_that_the_trunk_knows_is_no_unseen_body(matrix) -> None:
    matrix.cells(matrix.point(source="ant+walker2d"), "full", [10.0])
    matrix.cells(matrix.point(source="swimmer"), "full", [10.0])
    label = matrix.point(source="walker2d-expert", target="walker2d-medium")
    matrix.cells(label, "pretrain", [10.0], environment="walker2d")
    matrix.cells(label, "full", [10.0])
    text = matrix.write()
    sections = {one.splitlines()[0]: "no unseen body" in one for one in text.split("\n## ")}
    assert sections["ant+walker2d to walker2d"] and sections["walker2d-expert to walker2d-medium"]
    assert not sections["swimmer to walker2d"]


def test_trunks_have_a_section_of_their_own(matrix, table) -> None:
    label = matrix.point()
    matrix.cells(label, "pretrain", [30.0])
    matrix.cells(label, "embeddings", [10.0])
    text = matrix.write()
    assert [one["mode"] for one in table(text)] == ["embeddings"]
    assert [one["source"] for one in table(text, "## Pretraining")] == ["hopper"]


def test_each_target_that_is_asked_for_is_a_row(matrix, played, table) -> None:
    label = matrix.point()
    asked = [played([100.0]), played([200.0], target_return=500.0, target_score=50.0)]
    matrix.cells(label, "embeddings", [0.0], evaluations=asked)
    assert [(one["asked"], one["score"]) for one in table(matrix.write())] == [("90.0", "10.0"), ("50.0", "20.0")]


def test_names_of_strangers_stay_in_their_fields(matrix, table) -> None:
    label = matrix.point(source="<b>|x", target="=cmd", adapter__kind="$a_b$|")
    matrix.cells(label, "full", [10.0])
    matrix.gap(matrix.point(source="<b>|x", target="=cmd", adapter__kind="other"), "full", 0, "failed: a|b <script>")
    text = matrix.write()
    assert "<b>" not in text and "<script>" not in text and r"\|x" in text
    for name in ("cells.csv", "report.csv"):
        assert "'=cmd" in (matrix.folder / name).read_text()
    assert (matrix.folder / "report-adapter.kind.png").read_bytes()[:4] == b"\x89PNG"
    assert report([matrix.folder]).markdown == text


@pytest.mark.parametrize(
    ("points", "planned", "words"),
    [
        ([], [], "nothing to report"),
        ([("a", "x", "y"), ("a", "x", "z")], [], "share a label"),
        ([("a", "x", "y")], [("a", "full", 0)] * 2, "planned twice"),
        ([("point", "x", "y")], [("pint", "full", 0)], "point"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(points, planned, words: str, tmp_path) -> None:
    with pytest.raises(TransferError, match=words):
        write_matrix_report(tmp_path, [Coordinates(*one) for one in points], planned)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [("", "x", "y"), ("a/b", "x", "y"), ("..", "x", "y"), ("a", "x", "y", "dt", -1)])
def test_coordinates_that_make_no_sense_are_refused(values) -> None:
    with pytest.raises(TransferError, match="label=|size="):
        Coordinates(*values)


def test_two_thousand_cells_take_seconds(matrix, tmp_path) -> None:
    label = three(matrix, [[20.0, 30.0] * 5] * 5, [[10.0, 11.0] * 5] * 5, [[50.0, 60.0] * 5] * 5)
    matrix.cells(label, "mlp", [[30.0, 31.0] * 5] * 5)
    matrix.write()
    (record,) = report([matrix.folder]).records
    points = [Coordinates(f"p{number}", "hopper", "walker2d", "dt", number) for number in range(100)]
    found = [record.of_run(point.label) for point in points]
    planned = [line.key for one in found for line in one.lines]
    assert len(planned) == 2000
    start = time.perf_counter()
    made = make_matrix_report(matrix_records(tmp_path, points, planned, found, {}))
    assert time.perf_counter() - start < 20  # about 2 on an idle core
    assert len(made.rows) == 400 and made.markdown.count("\n| ") > 700
