"""State embeddings: one token, by a linear map or by an MLP."""

import pytest
import torch
import torch.nn.functional as F

from transfer.adapters.states.linear import LinearState
from transfer.adapters.states.mlp import MLPState


@pytest.mark.parametrize(
    "embedding", [LinearState(11, 16), MLPState(11, 16, 256)], ids=lambda kind: type(kind).__name__
)
def test_a_state_becomes_the_tokens_that_the_kind_promises(embedding: LinearState | MLPState) -> None:
    assert embedding(torch.randn(2, 5, 11), {}).shape == (2, 5, embedding.tokens, 16)


def test_the_linear_embedding_is_one_linear_map() -> None:
    embedding, states = LinearState(11, 16), torch.randn(2, 5, 11)
    expected = states @ embedding.linear.weight.T + embedding.linear.bias
    torch.testing.assert_close(embedding(states, {})[:, :, 0], expected)
    assert sum(p.numel() for p in embedding.parameters()) == 16 * 12


def test_the_mlp_is_not_linear_and_has_two_hidden_layers() -> None:
    embedding, states = MLPState(11, 16, 256), torch.randn(2, 5, 11)
    inner = F.gelu(states @ embedding.fc_1.weight.T + embedding.fc_1.bias)
    hidden = F.gelu(inner @ embedding.fc_2.weight.T + embedding.fc_2.bias)
    torch.testing.assert_close(embedding(states, {})[:, :, 0], hidden @ embedding.proj.weight.T + embedding.proj.bias)
    assert [tuple(p.shape) for p in embedding.parameters() if p.dim() == 2] == [(256, 11), (256, 256), (16, 256)]


@pytest.mark.parametrize(
    "embedding", [LinearState(11, 16), MLPState(11, 16, 256)], ids=lambda kind: type(kind).__name__
)
def test_every_number_of_the_state_counts(embedding: LinearState | MLPState) -> None:
    states = torch.ones(1, 1, 11, requires_grad=True)
    embedding(states, {}).square().sum().backward()
    assert states.grad is not None and (states.grad != 0).all()
