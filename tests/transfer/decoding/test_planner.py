"""Decoding step by step gives what one forward over the whole window gives, at no more than twice its tokens."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from tests.forcing import check_forced, close, decode, forced, part_of, plan, shown, window_start
from transfer import registry
from transfer.data.batch import Batch
from transfer.decoding.cached import CachedDecoder
from transfer.decoding.planner import make_planner
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.acting import Step
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.layout import Layout
from transfer.models.steps.scales import Scales
from transfer.runtime.native.blocks import Blocks

MakeModel = Callable[..., TransferModel]
MakeBatch = Callable[..., Batch]
SPREAD = ("ActionSpreadEmbedding", "ActionTokenizedSpreadEmbedding")


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True)
def every_way(way: str) -> None:
    """All tests of this file decode in every way."""


@pytest.fixture
def make_model(make_model: MakeModel) -> MakeModel:
    """With heads that the kernels take."""
    return partial(make_model, width=32)


def test_a_window_restarts_from_its_newest_half() -> None:
    assert [window_start(t, 6) for t in range(13)] == [0] * 6 + [3] * 3 + [6] * 3 + [9]


@pytest.mark.parametrize("context", [1, 2, 5, 6, 20])
def test_decoding_equals_teacher_forcing_on_the_chosen_actions(
    action: str, context: int, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action, ia3=True)
    batch = make_batch(model, steps=14)
    check_forced(model, batch, decode(model, batch, context, "autoregressive"), context)


@pytest.mark.parametrize("kind", SPREAD)
def test_each_way_is_taken(kind: str, way: str, make_model: MakeModel) -> None:
    planner = plan(make_model(action=kind), 1, 6)
    assert isinstance(planner.decoder, CachedDecoder if way == "PyTorch" else Blocks)
    assert (planner.choose == planner._one_by_one) == (way != "at once")


def test_bins_are_decoded_as_they_are_trained(make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(readout="categorical", conditioning=True)
    batch = make_batch(model, steps=14)
    check_forced(model, batch, decode(model, batch, 6, "autoregressive"), 6)


@pytest.mark.parametrize("kind", SPREAD)
def test_later_dimensions_are_chosen_knowing_earlier_ones(
    kind: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=kind)
    batch = make_batch(model, steps=4)
    one, other = (decode(model, batch, 6, how) for how in ("autoregressive", "parallel"))
    close(one[:, 0, 0], other[:, 0, 0])
    assert (one[:, 0, 1:] - other[:, 0, 1:]).abs().max() > 1e-3


def test_parallel_equals_a_forward_whose_newest_action_is_zero(
    action: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, steps=14)
    chosen = decode(model, batch, 6, "parallel")
    for t in range(14):
        known = chosen.clone()
        known[:, t] = 0
        close(chosen[:, t], forced(model, batch, known, t, 6))


@pytest.mark.parametrize("how", ["autoregressive", "parallel"])
@pytest.mark.parametrize("leave", [2, 6, 8], ids=["growing", "full", "restarted"])
def test_environments_that_go_on_alone_act_as_before(
    action: str, how: str, leave: int, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=4, steps=14)
    together = decode(model, batch, 6, how)
    planner, rows = plan(model, 4, 6, how), torch.arange(4)
    for t in range(14):
        if t == leave:
            planner.select(torch.tensor([0, 2, 3]))
            rows = torch.tensor([0, 2, 3])
        if t == leave + 1:
            planner.select(torch.tensor([1, 2]))
            rows = torch.tensor([2, 3])
        close(planner.act(shown(batch, t, rows)), together[rows, t])


@pytest.mark.parametrize("how", ["autoregressive", "parallel"])
def test_environments_are_forked_and_reordered(
    action: str, how: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=3, steps=11)
    together = decode(model, batch, 6, how)
    planner, rows = plan(model, 3, 6, how), torch.arange(3)
    for t in range(11):
        if t in (4, 7):  # the window restarts at 6 and 9
            order = torch.tensor([2, 0, 2, 1] if t == 4 else [3, 0, 0, 2, 1])
            planner.select(order)
            rows = rows[order]
        close(planner.act(shown(batch, t, rows)), together[rows, t])


def test_forks_go_apart_by_what_they_see(make_model: MakeModel, make_batch: MakeBatch) -> None:
    """Each as if it had been alone from the beginning."""
    model = make_model()
    batch = make_batch(model, rows=2, steps=9)
    batch.times[1] = batch.times[0]
    for column in (batch.states, batch.column("returns")):
        column[1, :4] = column[0, :4]
    wanted, planner = decode(model, batch, 6, "autoregressive"), plan(model, 1, 6)
    for t in range(9):
        if t == 4:
            planner.select(torch.tensor([0, 0]))
        rows = torch.arange(1 if t < 4 else 2)
        close(planner.act(shown(batch, t, rows)), wanted[rows, t])
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3


def test_environments_in_lockstep_do_not_see_each_other(
    action: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, steps=9)
    together = decode(model, batch, 6, "autoregressive")
    for row in range(3):
        close(decode(model, part_of(batch, slice(row, row + 1)), 6, "autoregressive"), together[row : row + 1])


@pytest.mark.parametrize("context", [2, 5, 6, 20])
def test_no_token_is_computed_more_than_twice(
    action: str, context: int, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=1, steps=40)
    planner, read = plan(model, 1, context), 0
    for t in range(40):
        known = 0 if planner.history.full else planner.decoder.length
        planner.act(shown(batch, t, torch.arange(1)))
        read += planner.decoder.length - known
    restarts = sum(window_start(t, context) > window_start(t - 1, context) for t in range(1, 40))
    again = restarts * (context // 2)  # steps that are read a second time
    unread = restarts + 1  # a step's last token is read with the next step, unless there is none, or a restart first
    assert read == (40 + again) * model.layout.tokens - unread <= 2 * 40 * model.layout.tokens


@pytest.mark.parametrize("how", ["autoregressive", "parallel"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_a_step_changes_nothing(
    action: str, how: str, dtype: torch.dtype, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=4, steps=9)
    with torch.autocast("cpu", dtype):
        chosen = decode(model, batch, 6, how)
    assert torch.equal(chosen, decode(model, batch, 6, how))


def test_what_is_no_number_is_over_with_its_window(
    action: str, way: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=2, steps=40)
    planner, lost = plan(model, 2, 4), []
    batch.states[0, 2] = float("nan")
    for t in range(40):
        chosen = planner.act(shown(batch, t, torch.arange(2)))
        assert chosen[1].isfinite().all()
        lost += [] if chosen[0].isfinite().all() else [t]
    # Step 2 is in the window up to step 5. Where a token is no bin's, the lost action is in every later window.
    assert lost == ([2, 3, 4, 5] if "Tokenized" in action else list(range(2, 40)))


def test_an_unknown_way_of_decoding_is_answered_with_the_closest(make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="unknown decode 'paralel'. Did you mean 'parallel'"):
        make_planner(make_model(), 1, "paralel")


@pytest.mark.parametrize("envs", [0, True, 2.5, "6", None])
def test_what_is_no_number_of_environments_is_refused(envs: Any, make_model: MakeModel) -> None:
    with pytest.raises(TransferError, match="envs"):
        make_planner(make_model(), envs)


@pytest.mark.parametrize("shown_to", [1, 2, 4])
def test_steps_of_other_numbers_of_environments_are_refused(
    shown_to: int, action: str, make_model: MakeModel, make_batch: MakeBatch
) -> None:
    model = make_model(action=action)
    batch = make_batch(model, rows=4)
    with pytest.raises(TransferError, match=f"tokens of {shown_to} environments .* of 3 "):
        plan(model, 3, 6).act(shown(batch, 0, torch.arange(shown_to)))


class Constant:
    """A planner of somebody's own."""

    def __init__(self, model: Any, envs: int, decode: str) -> None:
        self.actions = torch.full((envs, model.env_spec.action_size), 0.25)

    def act(self, step: Step) -> torch.Tensor:
        return self.actions

    def select(self, rows: torch.Tensor) -> None:
        self.actions = self.actions[rows]


def test_a_model_of_ones_own_brings_its_own_planner(
    make_model: MakeModel, countdowns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr(type(model), "planner", "constant")
    with pytest.raises(TransferError, match="unknown planner kind 'constant'.*Known: tokens, direct"):
        make_planner(model, 1)
    monkeypatch.setitem(registry._table(), "planner", dict(registry._table()["planner"]))
    registry.register("planner", "constant", f"{__name__}:Constant")
    assert evaluate(model, num_episodes=2).actions.tolist() == [[0.25] * 3] * 2
    assert model.policy().act(torch.zeros(11)).tolist() == [0.25] * 3


class Louder(TransferModel):
    """Reads other tokens than its embeddings make."""

    def embed(self, *given: Any) -> Any:
        return {name: 3 * tokens for name, tokens in super().embed(*given).items()}


class Halved(Scales):
    """Trains on other actions than it acts with."""

    def scale_actions(self, actions: torch.Tensor) -> torch.Tensor:
        return super().scale_actions(actions) / 2


@pytest.mark.parametrize("place", ["model", "scales", "instance", "instance's hidden"])
def test_methods_that_training_calls_and_acting_does_not_are_refused(place: str, make_model: MakeModel) -> None:
    model = make_model()
    if place == "model":
        model = Louder(model.trunk, model.adapter)
    elif place == "scales":
        model.adapter.scales.__class__ = Halved
    elif place == "instance":
        values = model.values
        model.values = lambda steps: values(steps)  # type: ignore[method-assign]
    else:
        model.hidden = lambda *given: {}  # type: ignore[method-assign]
    with pytest.raises(TransferError, match="has its own (embed|scale_actions|values|hidden), which trains"):
        make_planner(model, 1)


class Higher(Scales):
    """Asks for more, and sees less."""

    def scale_returns(self, *given: Any) -> Any:
        return 3 * super().scale_returns(*given)

    def scale_states(self, *given: Any) -> Any:
        return super().scale_states(*given) / 2


def test_scales_of_ones_own_act_as_they_train(action: str, make_model: MakeModel, make_batch: MakeBatch) -> None:
    model = make_model(action=action)
    batch = make_batch(model, steps=8)
    plain = decode(model, batch, 6, "autoregressive")
    model.adapter.scales.__class__ = Higher
    chosen = decode(model, batch, 6, "autoregressive")
    check_forced(model, batch, chosen, 6)
    assert (chosen - plain).abs().max() > 1e-3


def test_another_order_of_tokens_is_refused(make_model: MakeModel) -> None:
    """It would train on one order and act on another."""
    model = make_model()
    model.layout = Layout((("state", 1), ("return", 1), ("action", 3)))
    with pytest.raises(TransferError, match="layout is state, return, action; acting reads return, state, action"):
        make_planner(model, 1)


def test_a_compiled_method_is_the_same(make_model: MakeModel) -> None:
    model = make_model()
    model.hidden = torch.compile(model.hidden)  # type: ignore[method-assign]
    assert make_planner(model, 1)


def test_averaged_edges_are_refused_before_they_choose_wrong_bins(make_model: MakeModel) -> None:
    model = make_model(bins=64)
    averaged = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    averaged.update_parameters(model)
    assert make_planner(averaged.module, 1)  # the first is a copy
    averaged.update_parameters(model)
    with pytest.raises(TransferError, match="action.bins.edges holds NaN"):
        make_planner(averaged.module, 1)
