"""Tables stand for a spread action embedding, or are not used."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from transfer.adapter import RANGES, Adapter
from transfer.tables import tables_of

MakeAdapter = Callable[..., Adapter]
KINDS = (
    ("ActionSpreadEmbedding", "regression"),
    ("ActionTokenizedSpreadEmbedding", "regression"),
    ("ActionTokenizedSpreadEmbedding", "categorical"),
)


@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize(("kind", "readout"), KINDS)
def test_they_give_the_tokens_and_values_of_every_kind(
    kind: str, ranges: str, readout: str, make_adapter: MakeAdapter
) -> None:
    action = make_adapter("Walker2d-v5", action=kind, ranges=ranges, readout=readout).action
    tables = tables_of(action)
    assert tables is not None
    values, hidden = torch.rand(50, 6) * 2.4 - 1.2, torch.randn(50, 6, 16)
    torch.testing.assert_close(tables.tokens(values), action(values))
    torch.testing.assert_close(tables.values(hidden), action.predict(hidden))


class Shifted(nn.Module):
    """As something that fine-tuning wraps around a layer."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def predict(self, *arguments: object) -> torch.Tensor:
        return self.inner.predict(*arguments) + 0.1  # type: ignore[operator]


def test_what_computes_something_else_has_none(make_adapter: MakeAdapter) -> None:
    action = make_adapter().action
    assert tables_of(action) is not None
    handle = action.register_forward_hook(lambda module, inputs, tokens: tokens * 1.01)
    assert tables_of(action) is None
    handle.remove()
    assert tables_of(action) is not None
    action.readout = Shifted(action.readout)
    assert tables_of(action) is None


def test_an_embedding_without_tables_has_none(make_adapter: MakeAdapter) -> None:
    assert tables_of(make_adapter(action="ActionEmbedding").action) is None
