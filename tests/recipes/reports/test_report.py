import csv
import io
import json
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.reports.report import report, write_report
from transfer.recipes.reports.rows import Row


def row(rows: tuple[Row, ...], mode: str, **wanted: object) -> Row:
    found = [r for r in rows if r.mode == mode and all(getattr(r, key) == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def cells_of(markdown: str, mode: str) -> dict[str, str]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    (found,) = [line for line in lines if mode in line]
    return dict(zip(lines[0], found, strict=True))


def test_one_seed_gives_scores_without_intervals(make_cell) -> None:
    make_cell("pretrain", 0, [1000.0])
    make_cell("embeddings", 0, [400.0, 500.0])
    run = make_cell("full", 0, [500.0, 500.0])
    result = report([run])
    assert [r.mode for r in result.rows] == ["pretrain", "embeddings", "full"]
    embeddings = cells_of(result.markdown, "embeddings")
    assert embeddings["score"] == "45.0" and embeddings["return"] == "450" and embeddings["/ full"] == "0.90"
    assert embeddings["trained"] == "45,000" and embeddings["% of model"] == "7.5"
    assert embeddings["training"] == "1 min 0 s"
    assert "interval" not in result.markdown.splitlines()[2]
    assert "One seed" in result.markdown
    assert cells_of(result.markdown, "pretrain")["/ full"] == "-"


def test_several_seeds_are_one_row_with_an_interval(make_cell) -> None:
    for seed in range(3):
        run = make_cell("embeddings+ia3", seed, [100.0 * seed, 100.0 * seed + 20])
    (only,) = report([run]).rows
    assert only.score.mean == pytest.approx(11.0)
    assert only.score.interval and only.score.interval[0] < 11.0 < only.score.interval[1]
    assert only.score.iqm is None and only.train_seconds == 61.0
    assert len(only.episode_scores) == 6
    assert cells_of(report([run]).markdown, "embeddings+ia3")["95 % interval"] != "-"


def test_five_seeds_add_the_interquartile_mean(make_cell) -> None:
    for seed, value in enumerate([100.0, 200.0, 300.0, 400.0, 9000.0]):
        run = make_cell("full", seed, [value])
    assert cells_of(report([run]).markdown, "full")["IQM"] == "30.0"


@pytest.mark.parametrize(
    ("mode", "trunk", "word"),
    [
        ("embeddings", {}, "yes"),
        ("embeddings", {"unchanged": False, "after": "cd"}, "NO"),
        ("full", {"frozen": False, "unchanged": None}, "copy"),
        ("scratch", {"frozen": False, "unchanged": None, "pretrained": None}, "own"),
        ("mlp", {"frozen": False, "unchanged": None, "pretrained": None, "before": None, "after": None}, "none"),
    ],
)
def test_what_became_of_the_trunk(make_cell, mode: str, trunk: dict, word: str) -> None:
    base = {"frozen": True, "pretrained": "ab", "before": "ab", "after": "ab", "unchanged": True}
    result = report([make_cell(mode, 0, [1.0], trunk=base | trunk)])
    assert cells_of(result.markdown, mode)["trunk unchanged"] == word
    assert ("do not use" in result.markdown) == (word == "NO")


def test_one_changed_trunk_among_seeds_is_not_hidden(make_cell) -> None:
    make_cell("embeddings", 0, [1.0])
    bad = {"frozen": True, "pretrained": "ab", "before": "ab", "after": "cd", "unchanged": False}
    assert report([make_cell("embeddings", 1, [1.0], trunk=bad)]).rows[0].trunk == "NO"


def test_each_target_and_decoding_is_a_row_and_meets_its_own_full(make_cell, played) -> None:
    def entries(scale: float) -> list[dict]:
        return [
            played([100.0 * scale]),
            played([200.0 * scale], target_return=500.0, target_score=50.0),
            played([10.0 * scale], decode="parallel"),
            played([9999.0], checkpoint="best"),
        ]

    make_cell("embeddings", 0, [1.0], evaluations=entries(1.0))
    result = report([make_cell("full", 0, [1.0], evaluations=entries(2.0))])
    assert len(result.rows) == 6
    assert [r.over_full for r in result.rows if r.mode == "embeddings"] == [0.5, 0.5, 0.5]
    assert row(result.rows, "embeddings", decode="parallel").score.mean == pytest.approx(1.0)
    assert row(result.rows, "full", target_score=50.0).score.mean == pytest.approx(40.0)


def test_the_share_of_full_is_taken_over_common_seeds(make_cell) -> None:
    for seed, score in ((0, 900.0), (1, 100.0)):
        make_cell("full", seed, [score])
    make_cell("embeddings", 0, [450.0])
    run = make_cell("ia3", 2, [450.0])
    rows = {one.mode: one for one in report([run]).rows}
    assert rows["embeddings"].over_full == 0.5 and list(rows["embeddings"].by_seed) == [0]
    assert rows["full"].over_full == 1.0 and rows["ia3"].over_full is None
    pretrained = report([make_cell("pretrain", 0, [450.0])]).rows
    assert [one.over_full for one in pretrained if one.mode == "pretrain"] == [None]  # of other data


def test_best_is_the_best_probe_or_last_of_each_seed(make_cell) -> None:
    probes = [{"step": 1000, "mean_score": 30.0, "episodes": 10}, {"step": 2000, "mean_score": 5.0, "episodes": 10}]
    make_cell("full", 0, [100.0], probes=probes)
    run = make_cell("full", 1, [500.0], probes=probes)
    (only,) = report([run]).rows
    assert only.best == pytest.approx((30 + 50) / 2)
    assert only.score.mean == pytest.approx(30.0)
    assert cells_of(report([run]).markdown, "full")["best"] == "40.0"


def test_no_ratio_to_a_full_that_scores_nothing(make_cell) -> None:
    make_cell("embeddings", 0, [100.0])
    assert all(r.over_full is None for r in report([make_cell("full", 0, [-5.0])]).rows)


def test_modes_come_in_the_order_of_the_config(make_cell) -> None:
    for mode in ("embeddings", "full", "random-trunk:embeddings"):
        run = make_cell(mode, 0, [1.0])
    (run / "config.toml").write_text('[adapt]\nmodes = ["random-trunk:embeddings", "full", "embeddings"]')
    assert [r.mode for r in report([run]).rows] == ["random-trunk:embeddings", "full", "embeddings"]


def test_conditions_are_named(make_cell) -> None:
    make_cell("pretrain", 0, [1.0])
    text = report([make_cell("full", 0, [1.0])]).markdown
    for words in ("table D4RL", "bundled/walker2d/medium-v0, bundled/walker2d/expert-v0", "torch 2.13.0", "3234.3"):
        assert words in text


def test_versions_that_nobody_noted_have_no_line(make_cell) -> None:
    assert "Versions" not in report([make_cell("full", 0, [1.0], versions={})]).markdown


def test_unfinished_cells_are_named(make_cell) -> None:
    run = make_cell("full", 0, [1.0])
    (run / "embeddings" / "0").mkdir(parents=True)
    assert "Not finished: walk/embeddings/0." in report([run]).markdown


def test_unfinished_cells_come_in_the_order_of_the_config(make_cell, transfer, tmp_path: Path) -> None:
    run = make_cell("full", 0, [1.0])
    (run / "config.toml").write_text('[adapt]\nmodes = ["full", "embeddings"]\n[run]\nseeds = [0, 1]\n')
    (run / "embeddings" / "1").mkdir(parents=True)
    text = report([run]).markdown
    assert "Not finished: walk/embeddings/0, walk/full/1, walk/embeddings/1." in text
    assert transfer("report", run, "--out", tmp_path / "kept").exit_code == 0
    assert report([tmp_path / "kept"]).markdown == text


def test_several_runs_share_a_table(make_cell) -> None:
    runs = [make_cell("full", 0, [100.0], run="one"), make_cell("full", 0, [200.0], run="two")]
    result = report(runs)
    assert [(r.run, r.over_full) for r in result.rows] == [("one", 1.0), ("two", 1.0)]
    assert result.markdown.splitlines()[2].startswith("| run |")


def test_two_reference_tables_for_one_environment_are_refused(make_cell) -> None:
    other = {"table": "minari", "minimum": 0.0, "maximum": 500.0}
    runs = [make_cell("full", 0, [1.0], run="one"), make_cell("full", 0, [1.0], run="two", reference=other)]
    with pytest.raises(TransferError, match="minari"):
        report(runs)


def test_scales_of_two_datasets_of_one_environment_share_a_report(make_cell) -> None:
    scales = [{"table": "dataset", "minimum": 0.0, "maximum": top} for top in (300.0, 500.0)]
    cells = [
        make_cell(mode, 0, [150.0], environment="walker2d", reference=scale, content_hash=mode * 8)
        for mode, scale in zip(("pretrain", "embeddings"), scales, strict=True)
    ]
    text = report(cells[:1]).markdown
    assert "100 at 300" in text and "100 at 500" in text
    make_cell("full", 0, [150.0], environment="walker2d", reference=scales[0], content_hash="embeddings" * 8)
    with pytest.raises(TransferError, match="two references"):
        report(cells[:1])


def test_calibrated_targets_of_all_seeds_are_one_row(make_cell, played) -> None:
    for seed, asked in ((0, 800.0), (1, 900.0)):
        told = {"successes": [seed == 1, False], "success_rate": seed / 2}
        options = {"target": "calibrated", "target_return": asked, "target_score": asked / 10, **told}
        run = make_cell("embeddings", seed, [10.0], evaluations=[played([10.0, 10.0], **options)])
    (row,) = report([run]).rows
    assert row.calibrated and row.score.runs == 2 and row.target_score == 85.0 and row.success == 0.25
    assert "85.0 (calibrated)" in report([run]).markdown and "| 0.25 |" in report([run]).markdown


def test_csv_holds_every_number_unrounded(make_cell) -> None:
    make_cell("embeddings", 0, [1 / 3, 0.5])
    result = report([make_cell("full", 0, [900.0])])
    lines = list(csv.DictReader(io.StringIO(result.csv)))
    assert [line["mode"] for line in lines] == ["embeddings", "full"]
    assert float(lines[0]["score"]) == result.rows[0].score.mean
    assert float(lines[0]["return"]) == result.rows[0].returns.mean
    assert lines[0]["score_low"] == "" and lines[0]["trained"] == "45000"


def test_files_are_written_whole_and_equal_the_second_time(make_cell) -> None:
    make_cell("pretrain", 0, [1000.0])
    for seed in range(2):
        make_cell("random-trunk:embeddings", seed, [50.0, 60.0])
        run = make_cell("embeddings", seed, [400.0, 500.0 + seed])
    assert write_report(run) == run / "report.md"
    names = ["report.md", "report.csv", "report.png"]
    first = [(run / name).read_bytes() for name in names]
    assert first[2].startswith(b"\x89PNG") and first[0].decode() == report([run]).markdown
    write_report(run)
    assert [(run / name).read_bytes() for name in names] == first
    assert sorted(path.name for path in run.iterdir() if path.is_file()) == sorted(names)


def test_nothing_selected_is_an_error_with_the_next_command(tmp_path: Path, make_cell) -> None:
    with pytest.raises(TransferError, match="transfer ls"):
        report([tmp_path / "none"])
    with pytest.raises(TransferError, match="transfer run"):
        report([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TransferError, match="transfer run hopper-to-walker2d"):
        report([tmp_path / "empty"])
    (tmp_path / "empty" / "config.toml").write_text("")
    with pytest.raises(TransferError, match="--resume"):
        report([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content.pop("reference"), "no reference"),
        (lambda content: content.update(format=2), "format 2"),
        (lambda content: content.update(evaluations=[]), "no evaluation"),
        (lambda content: content["evaluations"][0].pop("returns"), "returns"),
        (lambda content: content["trained"].pop("numbers"), "numbers"),
    ],
)
def test_damaged_results_name_their_file(make_cell, damage, words: str) -> None:
    run = make_cell("full", 0, [1.0])
    file = run / "full" / "0" / "results.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(TransferError, match=words) as error:
        report([run])
    assert str(file) in str(error.value)
    file.write_text("{")
    with pytest.raises(TransferError, match="not valid JSON"):
        report([run])


def differences_of(markdown: str) -> dict[tuple[str, str], list[str]]:
    lines = markdown.split("Differences of scores")[-1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"][2:]
    return {(one, other): rest for one, other, *rest in cells}


def test_frozen_modes_are_compared_with_their_controls_seed_by_seed(make_cell) -> None:
    for seed in range(4):
        make_cell("embeddings", seed, [100.0 * seed + 300, 100.0 * seed + 320])
        make_cell("random-trunk:embeddings", seed, [100.0 * seed + 100, 100.0 * seed + 120])
        run = make_cell("full", seed, [400.0 - 100 * seed])
    found = differences_of(report([run]).markdown)
    assert set(found) == {("embeddings", "random-trunk:embeddings"), ("embeddings", "full")}
    # Seeds differ by 30, but in both modes alike: what is left are the episodes of a seed.
    seeds, mean, interval, p = found["embeddings", "random-trunk:embeddings"]
    assert (seeds, mean, p) == ("4", "+20.0", "0.125")  # the least that four seeds can say
    low, high = map(float, interval.split(" to "))
    assert 18.5 <= low < 20 < high <= 21.5
    low, high = map(float, found["embeddings", "full"][2].split(" to "))
    assert low < 21 < high and high - low > 25  # 21 on average, from -9 to 51


def test_few_common_seeds_are_not_compared(make_cell) -> None:
    for seed in range(4):
        make_cell("embeddings", seed, [300.0])
        run = make_cell("full", seed + 2, [400.0])
    assert "Differences" not in report([run]).markdown


def test_differences_tell_what_was_asked_for(make_cell, played) -> None:
    for seed in range(3):
        for mode, scores in (("embeddings", (300.0, 500.0)), ("full", (400.0, 550.0))):
            asked = [played([scores[i]], target_return=100.0 * i, target_score=10.0 * i) for i in range(2)]
            run = make_cell(mode, seed, [1.0], evaluations=asked)
    markdown = report([run]).markdown.split("Differences of scores")[1]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    found = [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    assert [(line["asked"], line["difference"]) for line in found] == [("0.0", "-10.0"), ("10.0", "-5.0")]
