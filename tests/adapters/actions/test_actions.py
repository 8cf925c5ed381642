"""The four action embeddings: the meaning of a token, and how it encodes its dimension."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer.adapters.actions.spread import ActionSpreadEmbedding, ActionTokenizedSpreadEmbedding
from transfer.adapters.actions.whole import ActionEmbedding, ActionTokenizedEmbedding
from transfer.adapters.tokenizers.quantile import QuantileTokenizer
from transfer.errors import TransferError
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.registry import PartSpec

KINDS = (ActionEmbedding, ActionTokenizedEmbedding, ActionSpreadEmbedding, ActionTokenizedSpreadEmbedding)
SPREAD = (ActionSpreadEmbedding, ActionTokenizedSpreadEmbedding)
RANGES = ("per-dimension", "shared", "shared+index")
WIDTH, A, BINS = 16, 3, 8


def made(kind: type, tokenizer: QuantileTokenizer, ranges: str, readout: str = "regression") -> Any:
    """An embedding of some kind, with those of the settings that it takes."""
    settings = {"tokenizer": tokenizer.to_json(), "ranges": ranges, "readout": readout}
    taken = inspect.signature(kind).parameters
    return kind(WIDTH, A, **{name: value for name, value in settings.items() if name in taken})


@pytest.fixture
def actions(tokenizer: QuantileTokenizer) -> Tensor:
    """(4, 5, 3), two of them exactly on an edge and two beyond the data."""
    values = np.random.default_rng(1).normal(0.0, 0.8, (4, 5, 3)).astype(np.float32)
    values[0, 0] = tokenizer.edges_[:, 0]
    values[0, 1] = np.nextafter(tokenizer.edges_[:, 0], np.float32(-9))
    values[1, 0], values[1, 1] = 7.0, -7.0
    return torch.from_numpy(values)


def ids_of(tokenizer: QuantileTokenizer, actions: Tensor) -> np.ndarray:
    """Ids (..., A) of actions (..., A)."""
    return tokenizer.transform(actions.reshape(-1, A)).reshape(actions.shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranges", RANGES)
def test_a_step_has_one_token_or_one_for_each_dimension(
    kind: type, ranges: str, tokenizer: QuantileTokenizer, actions: Tensor
) -> None:
    embedding = made(kind, tokenizer, ranges)
    assert embedding.tokens == (A if kind in SPREAD else 1)
    assert embedding(actions, {}).shape == (4, 5, embedding.tokens, WIDTH)


@pytest.mark.parametrize("kind", [ActionTokenizedEmbedding, ActionTokenizedSpreadEmbedding])
def test_bins_are_those_of_the_tokenizer(kind: type, tokenizer: QuantileTokenizer, actions: Tensor) -> None:
    embedding = made(kind, tokenizer, "shared")
    np.testing.assert_array_equal(embedding.bins(actions), ids_of(tokenizer, actions))
    np.testing.assert_array_equal(embedding.bins(actions[..., 1:], 1), ids_of(tokenizer, actions)[..., 1:])


def test_a_whole_action_is_one_linear_map(actions: Tensor) -> None:
    embedding = ActionEmbedding(WIDTH, A)
    expected = actions @ embedding.linear.weight.T + embedding.linear.bias
    torch.testing.assert_close(embedding(actions, {})[:, :, 0], expected)


def test_a_spread_value_is_one_linear_map_for_all_dimensions(actions: Tensor) -> None:
    embedding = ActionSpreadEmbedding(WIDTH, A, None, "shared", "regression")
    expected = actions[..., None] * embedding.linear.weight[:, 0] + embedding.linear.bias
    torch.testing.assert_close(embedding(actions, {}), expected)


@pytest.mark.parametrize("ranges", RANGES)
def test_a_spread_bin_is_its_row_of_the_table(ranges: str, tokenizer: QuantileTokenizer, actions: Tensor) -> None:
    embedding = made(ActionTokenizedSpreadEmbedding, tokenizer, ranges)
    ids, rows = ids_of(tokenizer, actions), embedding.table.rows.weight
    assert len(rows) == (BINS * A if ranges == "per-dimension" else BINS)
    for i in range(A):
        row = ids[..., i] + (i * BINS if ranges == "per-dimension" else 0)  # eq. 4
        expected = rows[torch.from_numpy(row)]
        if ranges == "shared+index":
            expected = expected + embedding.index[i]
        torch.testing.assert_close(embedding(actions, {})[:, :, i], expected)


@pytest.mark.parametrize("ranges", RANGES)
def test_a_whole_tokenized_action_is_the_sum_of_its_rows(
    ranges: str, tokenizer: QuantileTokenizer, actions: Tensor
) -> None:
    embedding = made(ActionTokenizedEmbedding, tokenizer, ranges)
    ids, rows = torch.from_numpy(ids_of(tokenizer, actions)), embedding.table.rows.weight
    expected = torch.zeros(4, 5, WIDTH)
    for i in range(A):
        row = rows[ids[..., i] + (i * BINS if ranges == "per-dimension" else 0)]
        expected += row * embedding.index[i] if ranges == "shared+index" else row
    torch.testing.assert_close(embedding(actions, {})[:, :, 0], expected)


@pytest.mark.parametrize(("ranges", "knows"), [("per-dimension", True), ("shared+index", True), ("shared", False)])
def test_ranges_decide_whether_the_token_of_a_bin_knows_its_dimension(
    ranges: str, knows: bool, tokenizer: QuantileTokenizer
) -> None:
    embedding = made(ActionTokenizedSpreadEmbedding, tokenizer, ranges)
    values = tokenizer.inverse_transform([[1, 1, 1]])[0]  # the same bin three times
    tokens = embedding(torch.from_numpy(values), {})  # (A, D)
    assert ((tokens[0] - tokens[1]).abs().max() > 1e-4) == knows


@pytest.mark.parametrize(("ranges", "knows"), [("per-dimension", True), ("shared+index", True), ("shared", False)])
def test_ranges_decide_whether_a_sum_knows_which_dimension_had_which_bin(
    ranges: str, knows: bool, tokenizer: QuantileTokenizer
) -> None:
    embedding = made(ActionTokenizedEmbedding, tokenizer, ranges)
    values = tokenizer.inverse_transform([[1, 2, 0], [2, 1, 0]])
    one, other = (embedding(torch.from_numpy(actions), {}) for actions in values)
    assert ((one - other).abs().max() > 1e-4) == knows


@pytest.mark.parametrize("kind", SPREAD)
@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize("readout", ["regression", "categorical"])
def test_a_part_of_the_dimensions_is_embedded_and_read_as_in_the_whole(
    kind: type, ranges: str, readout: str, tokenizer: QuantileTokenizer, actions: Tensor
) -> None:
    embedding, hidden = made(kind, tokenizer, ranges, readout), torch.randn(4, 5, A, WIDTH)
    if embedding.readout.rows is not None:
        torch.nn.init.normal_(embedding.readout.rows)
    for first in range(A):
        for n in range(1, A - first + 1):
            part = slice(first, first + n)
            torch.testing.assert_close(embedding(actions[..., part], {}, first), embedding(actions, {})[:, :, part])
            torch.testing.assert_close(
                embedding.predict(hidden[:, :, part], {}, first), embedding.predict(hidden, {})[..., part]
            )


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind: type, tokenizer: QuantileTokenizer, actions: Tensor) -> None:
    embedding = made(kind, tokenizer, "shared+index")
    tokens = embedding(actions, {})
    weight = torch.ones(4, 5, embedding.tokens, dtype=torch.bool)
    embedding.loss(tokens, actions.clamp(-1, 1), weight, {}).sum.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in embedding.parameters())


@pytest.mark.parametrize("kind", [ActionEmbedding, ActionTokenizedEmbedding])
def test_a_whole_action_has_no_categories(kind: type) -> None:
    with pytest.raises(TransferError, match=f"unknown option of action '{kind.__name__}' 'readout'"):
        AdapterConfig(action=PartSpec(kind.__name__, {"readout": "categorical"}))


@pytest.mark.parametrize("kind", SPREAD)
@pytest.mark.parametrize(
    ("ranges", "readout", "message"),
    [
        ("shared+idx", "regression", r"'shared\+idx'. Did you mean 'shared\+index'"),
        ("shared", "regresion", "'regresion'. Did you mean 'regression'"),
    ],
)
def test_unknown_settings_are_answered_with_the_closest(
    kind: type, ranges: str, readout: str, message: str, tokenizer: QuantileTokenizer
) -> None:
    with pytest.raises(TransferError, match=message):
        kind(WIDTH, A, tokenizer.to_json(), ranges, readout)


def test_categories_need_a_tokenizer() -> None:
    with pytest.raises(TransferError, match="needs a fitted tokenizer"):
        ActionSpreadEmbedding(WIDTH, A, None, "shared", "categorical")
