"""A paper's numbers beside ours."""

import pytest

from transfer.errors import TransferError
from transfer.recipes.reports.matrix.paper_rows import PaperRow, paper_text, read_paper
from transfer.recipes.reports.report import report


def test_each_number_stands_beside_the_row_it_belongs_to(matrix, table) -> None:
    for bins, score in ((100, 90.0), (3000, 80.0)):
        matrix.cells(matrix.point(adapter__action__bins=bins), "scratch-adapt", [score, score + 2])
    matrix.gap(matrix.point(adapter__action__bins=300), "scratch-adapt", 0, "failed: late")
    paper = [
        PaperRow({"adapter.action.bins": "3000"}, "101.7", "P", "Hopper"),
        PaperRow({"adapter.action.bins": "300", "mode": "scratch-adapt"}, "about 103", "read off a graphic"),
        PaperRow({"adapter.action.bins": "7"}, "1", "P"),
        PaperRow({"adapter.action.bins": "100"}, "", "P"),
    ]
    text = matrix.write(paper=paper)
    found = table(text, "## Beside the paper")
    assert [(one["ours"], one["paper"], one["mark"]) for one in found] == [
        ("81.0", "101.7", "P"),
        ("- (1)", "about 103", "read off a graphic"),
        ("- (2)", "1", "P"),
        ("91.0", "- (3)", "P"),
    ]
    assert found[0]["note"] == "Hopper" and found[0]["seeds"] == "2" and found[0]["95 % interval"] == "80.0 to 82.0"
    told = "(1) failed: late; (2) no row of the matrix is at this place; (3) the paper gives no number."
    assert told in text


def test_a_number_of_several_rows_says_where_they_differ(matrix, table) -> None:
    for width in (64, 256):
        matrix.cells(matrix.point(trunk__width=width), "full", [float(width)])
    found = table(matrix.write(paper=[PaperRow({"mode": "full"}, "109.5", "P")]), "## Beside the paper")
    assert [(one["trunk.width"], one["ours"]) for one in found] == [("64", "64.0"), ("256", "256.0")]


def test_differences_and_deviations_are_ours_too(matrix, table) -> None:
    for kind, scores in (("spread", [30.0, 50.0]), ("dt", [25.0, 43.0]), ("whole", [])):
        label = matrix.point(kind=kind)
        matrix.cells(label, "full", scores)
    matrix.gap(matrix.points[-1].label, "full", 0, "failed")
    spread = {"kind": "spread", "mode": "full"}
    paper = [
        PaperRow(spread, "+11", "text", measure="difference", against={"kind": "dt"}),
        PaperRow(spread, "+13", "text", measure="difference", against={"kind": "whole"}),
        PaperRow({"kind": "dt"}, "4.4", "text", measure="deviation"),
        PaperRow({"kind": "dt"}, "9", "derived"),
    ]
    text = matrix.write(paper=paper)
    found = table(text, "## Beside the paper")
    assert [(one["number"], one["ours"], one["95 % interval"]) for one in found] == [
        ("difference to dt", "+6.0", "+5.0 to +7.0"),
        ("difference to whole", "- (1)", "-"),
        ("deviation", "12.7", "-"),
        ("score", "34.0", "25.0 to 43.0"),
    ]
    assert "(1) what it is compared with has no results." in text and report([matrix.folder]).markdown == text


def test_a_number_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(TransferError, match="deviation"):
        PaperRow({}, "1", "", measure="deviatoin")
    for options in ({"measure": "difference"}, {"against": {"a": "b"}}):
        with pytest.raises(TransferError, match="against"):
            PaperRow({}, "1", "", **options)


def test_numbers_come_back_from_their_file(tmp_path) -> None:
    rows = [PaperRow({"mode": "a|b", "size": "all"}, "+11 over DT", "=D", "'quoted'"), PaperRow({}, "", "")]
    rows.append(PaperRow({}, "1", "", measure="difference", against={"mode": "full"}))
    (tmp_path / "paper.csv").write_text(paper_text(rows))
    assert read_paper(tmp_path / "paper.csv") == rows and read_paper(tmp_path / "none.csv") == []


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{""a"": 1}'])
def test_an_edited_file_is_refused(text: str, tmp_path) -> None:
    (tmp_path / "paper.csv").write_text(f'coordinates,value,mark,note,measure,against\n"{text}",1,P,,score,{{}}\n')
    with pytest.raises(TransferError, match=r"paper\.csv, line 2 was edited"):
        read_paper(tmp_path / "paper.csv")
