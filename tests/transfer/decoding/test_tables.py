"""Tables stand for a spread action embedding, or are not used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.forcing import step_of
from transfer.adapters.actions.action import RANGES
from transfer.adapters.tokenizers.bins import Bins
from transfer.decoding.planner import make_planner
from transfer.decoding.tables import ActionTables, tables_of
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel

MakeAdapter = Callable[..., Adapter]
KINDS = (
    ("ActionSpreadEmbedding", "regression"),
    ("ActionTokenizedSpreadEmbedding", "regression"),
    ("ActionTokenizedSpreadEmbedding", "categorical"),
)


def tokens_of(tables: ActionTables, values: Tensor) -> Tensor:
    """Values (..., A) -> (..., A, D), as `ActionTables` says."""
    rows = tables.rows[torch.arange(len(tables.rows)), (values[..., None] >= tables.edges).sum(-1)]
    return rows if tables.slope is None else rows + values[..., None] * tables.slope


def values_of(tables: ActionTables, hidden: Tensor) -> Tensor:
    """Hidden (..., A, D) -> (..., A), likewise."""
    y = torch.einsum("...ad,aod->...ao", hidden, tables.weights) + tables.biases
    return y.tanh()[..., 0] if tables.centers is None else (y.softmax(-1) * tables.centers).sum(-1)


@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize(("kind", "readout"), KINDS)
def test_they_give_the_tokens_and_values_of_every_kind(
    kind: str, ranges: str, readout: str, make_adapter: MakeAdapter
) -> None:
    action = make_adapter("Walker2d-v5", action=kind, ranges=ranges, readout=readout).action
    tables = tables_of(action, {})
    assert tables is not None
    edges = tables.edges.T[torch.isfinite(tables.edges.T).all(1)]  # (some, A): values right on an edge
    values, hidden = torch.cat([torch.rand(50, 6) * 2.4 - 1.2, edges]), torch.randn(50, 6, 16)
    torch.testing.assert_close(tokens_of(tables, values), action(values, {}))
    torch.testing.assert_close(values_of(tables, hidden), action.predict(hidden, {}))


def test_a_layer_without_a_bias_has_them_too(make_model: Callable[..., TransferModel]) -> None:
    model = make_model(width=32, action="ActionSpreadEmbedding")
    action = model.adapter.action
    action.linear = nn.Linear(1, 32, bias=False)
    tables, values = tables_of(action, {}), torch.rand(50, 3) * 2 - 1
    assert tables is not None
    torch.testing.assert_close(tokens_of(tables, values), action(values, {}))
    assert make_planner(model, 1).act(step_of(torch.zeros(1, 11), torch.ones(1), torch.zeros(1))).isfinite().all()


class Wrapped(nn.Module):
    """As something that fine-tuning puts around a part."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * 1.0001

    def predict(self, *arguments: object) -> Tensor:
        return self.inner.predict(*arguments) + 0.1  # type: ignore[operator]


def wrapped_readout(action: nn.Module) -> None:
    action.readout = Wrapped(action.readout)  # type: ignore[arg-type]


def wrapped_rows(action: nn.Module) -> None:
    action.table.rows = Wrapped(action.table.rows)  # type: ignore[arg-type, union-attr]


def hooked(action: nn.Module) -> None:
    action.register_forward_hook(lambda module, inputs, tokens: tokens * 1.0001)


def parametrized(action: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(action.table.rows)  # type: ignore[arg-type, union-attr]


def of_another_type(action: nn.Module) -> None:
    action.readout.double()  # type: ignore[operator, union-attr]


def with_its_own_method(action: nn.Module) -> None:
    readout: Any = action.readout
    original = readout.predict
    readout.predict = lambda *arguments: original(*arguments) + 0.1


class Coarse(Bins):
    """Bins of a user's own."""

    def forward(self, values: Tensor, first: int = 0) -> Tensor:
        return super().forward(values, first) // 2 * 2


def of_a_subclass(action: nn.Module) -> None:
    action.bins.__class__ = Coarse  # type: ignore[union-attr, assignment]


CHANGES = [wrapped_readout, wrapped_rows, hooked, parametrized, of_another_type, with_its_own_method, of_a_subclass]


@pytest.mark.parametrize("change", CHANGES)
def test_what_computes_something_else_has_none(
    change: Callable[[nn.Module], None], make_adapter: MakeAdapter, make_model: Callable[..., TransferModel]
) -> None:
    action = make_adapter().action
    assert tables_of(action, {}) is not None
    change(action)
    assert tables_of(action, {}) is None
    model = make_model(width=32)
    change(model.adapter.action)
    planner: Any = make_planner(model, 1)
    assert planner.choose == planner._one_by_one


def test_an_embedding_without_tables_has_none(make_adapter: MakeAdapter) -> None:
    assert tables_of(make_adapter(action="ActionEmbedding").action, {}) is None
