"""The benchmarks run at small sizes, count FLOPs as PyTorch does, and compare with a baseline that acts alike."""

import csv
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.__main__ import main
from benchmarks.measuring.measure import Flops
from benchmarks.measuring.models import DEPTH, FROZEN, FULL, batch_of, build
from benchmarks.measuring.models import QUICK as size
from benchmarks.measuring.players import Player, Recompute, made_up_states
from benchmarks.sections import SECTIONS as known
from benchmarks.sections.decoding import cache_bytes
from benchmarks.sections.memory import peak_of_tensors
from tests.forcing import step_of
from transfer.decoding.planner import make_planner
from transfer.models.freezing import train_only

SECTIONS = ("training", "memory", "huggingface", "environment_steps", "decoding", "sampling")


def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The lines in ratios.csv of one run of the command, quick."""
    main(["--quick", "--out", str(folder), *arguments])
    with (folder / "ratios.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_there_is_a_test_of_every_section() -> None:
    assert tuple(known) == SECTIONS


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_finds_finite_ratios_with_names(name: str, tmp_path: Path) -> None:
    if name == "huggingface":
        pytest.importorskip("transformers")
    rows = run(tmp_path, "--only", name)
    assert rows and len({row["case"] for row in rows}) == len(rows)
    for row in rows:
        values = [one.rpartition(" ")[2] for one in row["values"].split("; ")]
        ends, top, bottom = [row["low"], row["high"]], row["top"].split(), row["bottom"].split()
        numbers = list(map(float, [row["ratio"], *ends, *values, *top, *bottom]))
        assert all(math.isfinite(number) and number > 0 for number in numbers), row
        assert float(ends[0]) <= float(ends[1]) and len(top) == len(bottom) and row["section"] == name
        ratio = float(row["scale"]) * statistics.median(map(float, top)) / statistics.median(map(float, bottom))
        assert float(row["ratio"]) == ratio and row["threads"] == "1" and "torch " in row["versions"]
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"## {name}" in table and all(f"| {row['case']} |" in table for row in rows)
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


def test_a_section_whose_library_is_missing_is_skipped_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert not run(tmp_path, "--only", "huggingface")
    said = capsys.readouterr().out
    assert "Skipped: " in said and "embedding-swap[bench]" in said


def test_an_unknown_section_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "--only", "training,speed")
    assert stop.value.code == 2 and "no section speed; there are training" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def counted(depth: int, frozen: bool) -> int:
    """FLOPs of all products with weights in a forward and backward, as PyTorch counts them."""
    model = build("Hopper", size.width, depth=depth)
    train_only(model, FROZEN if frozen else FULL)
    with FlopCounterMode(display=False) as counter:
        model.loss(batch_of("Hopper", size))["action"].sum.backward()
    return sum(n for op, n in counter.get_flop_counts()["Global"].items() if str(op) in ("aten.mm", "aten.addmm"))


@pytest.mark.parametrize(("frozen", "passes"), [(False, 3), (True, 2)])
def test_products_with_weights_are_counted_as_pytorch_counts_them(
    frozen: bool, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transfer.runtime.layers.linear._available", lambda: False
    )  # its counter does not know oneDNN's
    one = Flops.of(size.batch, size.context * (2 + 3), size.width, 1)
    assert counted(2, frozen) - counted(1, frozen) == passes * one.matrix
    assert (one.frozen if frozen else one.full) == passes * one.matrix + 3.5 * one.attention


def test_attention_is_counted_over_causal_pairs() -> None:
    pairs = [(query, key) for query in range(7) for key in range(query + 1)]
    assert Flops.of(batch=5, tokens=7, width=8, depth=2).attention == len(pairs) * 2 * 2 * 8 * 5 * 2


def test_the_peak_counts_what_is_held_at_a_time() -> None:
    def work() -> None:
        for _ in range(3):
            one = torch.ones(1000)
            two = one * 2  # 8,000 bytes with the first
            del one
            two.sum()
            del two

    assert 8000 <= peak_of_tensors(work) < 9000


@pytest.mark.parametrize("action", ["ActionTokenizedSpreadEmbedding", "ActionEmbedding"])
def test_the_baseline_without_a_cache_acts_as_the_planner_does(action: str) -> None:
    """Until the planner's window restarts; from then on it sees fewer steps than the sliding window."""
    context, rows = 4, 3
    model, generator = build("Hopper", 32, action, context=context), torch.Generator().manual_seed(0)
    baseline, planner = Recompute(model, context), make_planner(model, rows)
    with torch.inference_mode():
        for step in range(context):
            states, returns = torch.randn(rows, 11, generator=generator), torch.full((rows,), 900.0 - step)
            seen = step_of(states, returns, torch.full((rows,), step))
            both = [actor.act(seen) for actor in (baseline, planner)]
            torch.testing.assert_close(*both, rtol=1e-4, atol=1e-5)
        assert baseline.window is not None and baseline.window.states.shape == (rows, context, 11)
        baseline.act(step_of(states, returns, torch.full((rows,), context)))
        assert baseline.window.states.shape == (rows, context, 11)


@pytest.mark.parametrize("context", [4, 5])
def test_a_cycle_of_a_player_holds_one_restart(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, lengths = build("Hopper", 32, context=context), []
    planner = make_planner(model, 1)
    embed = type(model).embed
    monkeypatch.setattr(type(model), "embed", lambda *given: lengths.append(given[1].times.shape[1]) or embed(*given))
    player = Player(planner, made_up_states(model, 1), context)
    for cycles in range(3):
        assert lengths == [context // 2] * cycles  # a restart reads the newest T/2 steps, by `model.embed`
        player.play()


def test_keys_and_values_are_counted_one_forward_at_a_time() -> None:
    model = build("Hopper", 32)  # K = 5, A = 3
    restart, steps = 2 * 5, [(2 * 5 + 2) + (2 * 5 + 3) + (2 * 5 + 4), (3 * 5 + 2) + (3 * 5 + 3) + (3 * 5 + 4)]
    assert cache_bytes(model, 4) == (restart + sum(steps)) * 2 * DEPTH * 32 * 4
