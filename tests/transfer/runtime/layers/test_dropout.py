"""Dropout from few random bits."""

import pytest
import torch

from transfer.runtime.layers.dropout import Dropout


def test_the_share_of_zeros_and_the_scale_of_the_rest() -> None:
    torch.manual_seed(0)
    y = Dropout(0.1)(torch.ones(1001, 1003))
    assert abs(float((y == 0).float().mean()) - 0.1) < 1e-3
    assert torch.allclose(y[y != 0], torch.tensor(1 / 0.9), rtol=1e-4)
    assert abs(float(y.mean()) - 1) < 1e-3


def test_neighbours_are_independent() -> None:
    """Four elements share one draw."""
    torch.manual_seed(0)
    zero = (Dropout(0.5)(torch.ones(100_000, 4)) == 0).float()
    assert torch.corrcoef(zero.T).fill_diagonal_(0).abs().max() < 0.02


def test_the_gradient_is_dropped_with_the_numbers() -> None:
    x = torch.ones(50, 50, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_nothing_is_dropped_in_eval_mode_or_at_zero(p: float) -> None:
    x = torch.ones(7, 3)
    assert Dropout(p).eval()(x) is x
    assert (Dropout(p)(x) is x) == (p == 0)


def test_the_same_seed_drops_the_same() -> None:
    drop, x = Dropout(0.2), torch.ones(33, 5, dtype=torch.bfloat16)
    torch.manual_seed(3)
    first = drop(x)
    torch.manual_seed(3)
    assert torch.equal(drop(x), first) and first.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(6, 5, 3), (4, 7, 16)])  # blocks that begin inside a draw, and at one
def test_processes_drop_what_one_drops_in_their_rows(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = torch.nn.Sequential(Dropout(0.5), torch.nn.Sequential(Dropout(0.5))), torch.ones(shape)
    torch.manual_seed(3)
    whole, parts = model(x), []
    for block, rows in enumerate(x.chunk(2)):
        torch.manual_seed(3)
        monkeypatch.setattr("transfer.runtime.layers.dropout.rank", lambda block=block: block)
        monkeypatch.setattr("transfer.runtime.layers.dropout.size", lambda: 2)
        parts.append(model(rows))
    assert torch.equal(torch.cat(parts), whole) and not torch.equal(*parts)
