"""A paper's numbers beside ours."""

import pytest

from transfer.errors import TransferError
from transfer.recipes.reports.matrix.paper_rows import PaperRow, paper_text, read_paper


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


def test_numbers_come_back_from_their_file(tmp_path) -> None:
    rows = [PaperRow({"mode": "a|b", "size": "all"}, "+11 over DT", "=D", "'quoted'"), PaperRow({}, "", "")]
    (tmp_path / "paper.csv").write_text(paper_text(rows))
    assert read_paper(tmp_path / "paper.csv") == rows and read_paper(tmp_path / "none.csv") == []


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{""a"": 1}'])
def test_an_edited_file_is_refused(text: str, tmp_path) -> None:
    (tmp_path / "paper.csv").write_text(f'coordinates,value,mark,note\n"{text}",1,P,\n')
    with pytest.raises(TransferError, match=r"paper\.csv, line 2 was edited"):
        read_paper(tmp_path / "paper.csv")
