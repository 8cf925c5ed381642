"""Evaluations that ask for no return, or for more than one: in results, reports and results folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.run_files import rows
from transfer.recipes.reports.report import report, write_report
from transfer.recipes.reports.tables.publish import publish
from transfer.recipes.runs.results import read_results

Played = Callable[..., dict[str, Any]]
NONE = {"target_return": None, "target_score": None}
LONG = {"ask": {"horizon": 500}, "asked": {"horizon": 500.0}}


def test_a_policy_that_is_asked_for_nothing_has_a_row(make_cell, played: Played) -> None:
    run = make_cell("full", 0, [500.0], evaluations=[played([500.0], **NONE)])
    found = report([run])
    assert "| full | - | 1 | 50.0 |" in found.markdown
    write_report(run)
    assert rows(run)[0]["target_score"] == "" and "asked" not in rows(run)[0]


def test_what_else_is_asked_for_tells_rows_apart_and_survives_publishing(
    make_cell, played: Played, tmp_path: Path
) -> None:
    entries = [played([500.0], **LONG), played([300.0], ask={"horizon": "auto"}, asked={"horizon": 20.5})]
    run = make_cell("full", 0, [500.0], evaluations=[*entries, played([100.0], **NONE, **LONG)])
    found = report([run])
    for words in ("| 90.0, horizon 500 |", "| 90.0, horizon 20.5 by default |", "| horizon 500 |"):
        assert words in found.markdown, found.markdown
    publish(tmp_path / "kept", found)
    assert ",asked\n" in (tmp_path / "kept/episodes.csv").read_text()
    assert report([tmp_path / "kept"]).markdown.splitlines()[2:8] == found.markdown.splitlines()[2:8]
    write_report(run)
    assert [row["asked"] for row in rows(run)] == ["horizon 500", "horizon 20.5 by default", "horizon 500"]


def test_what_a_method_derives_of_a_calibration_does_not_split_a_row(make_cell, played: Played) -> None:
    for seed, length in ((0, 100.0), (1, 120.0)):
        entry = played([500.0], target="best", target_return=900.0 + seed, asked={"horizon": length})
        run = make_cell("full", seed, [500.0], evaluations=[entry])
    (row,) = report([run]).rows
    assert (row.score.runs, row.target, row.asked) == (2, "best", "")


def test_the_held_out_error_is_a_column_where_there_is_one(make_cell) -> None:
    without = make_cell("full", 0, [500.0], run="without")
    assert "held-out" not in report([without]).markdown
    for seed, error in ((0, 0.25), (1, 0.75)):
        run = make_cell("full", seed, [500.0], run="with", held_out_error=error)
    make_cell("mlp", 0, [500.0], run="with")
    found = report([run])
    assert "| held-out error |" in found.markdown and "| 0.5000 |" in found.markdown
    assert [row.held_out for row in found.rows] == [0.5, None]
    write_report(run)
    assert [row["held_out_error"] for row in rows(run)] == ["0.5", ""]


@pytest.mark.parametrize("key", ["ask", "asked"])
def test_results_without_these_keys_are_read(key: str, make_cell, played: Played) -> None:
    run = make_cell("full", 0, [500.0], evaluations=[played([500.0])])
    assert getattr(read_results(run / "full/0/results.json").evaluations[0], key) is None
