"""Readouts: what they predict, and a loss that is a sum over real numbers and their count."""

import pytest
import torch
from torch import Tensor

from transfer.adapters.readouts import SpreadCategorical, SpreadRegression, WholeRegression

WIDTH, A, BINS = 16, 3, 8
USED = torch.tensor([8, 8, 3])


@pytest.fixture
def mask() -> Tensor:
    return torch.tensor([[True, True, True, False], [True, False, False, False]])


@pytest.fixture
def centers() -> Tensor:
    return torch.linspace(-1, 1, BINS).repeat(A, 1) + torch.arange(A)[:, None] / 100


def hidden(tokens: int) -> Tensor:
    return torch.randn(2, 4, tokens, WIDTH, generator=torch.Generator().manual_seed(0))


def wanted() -> Tensor:
    return torch.rand(2, 4, A, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_whole_action_is_a_linear_map_and_tanh() -> None:
    readout, h = WholeRegression(WIDTH, A), hidden(1)
    expected = torch.tanh(h[:, :, 0] @ readout.linear.weight.T + readout.linear.bias)
    torch.testing.assert_close(readout.predict(h), expected)


def test_a_fresh_spread_readout_is_the_same_for_all_dimensions() -> None:
    readout, h = SpreadRegression(WIDTH, A, per_dimension=True), hidden(A)
    torch.testing.assert_close(readout.predict(h), torch.tanh(h @ readout.weight + readout.bias))


def test_a_dimension_s_own_row_moves_that_dimension_alone() -> None:
    readout, h = SpreadRegression(WIDTH, A, per_dimension=True), hidden(A)
    before = readout.predict(h)
    with torch.no_grad():
        readout.rows[1] += 1
    changed = (readout.predict(h) - before).abs().amax((0, 1))
    assert (changed > 1e-3).tolist() == [False, True, False]


@pytest.mark.parametrize("per_dimension", [True, False])
def test_squared_error_is_summed_over_real_steps(per_dimension: bool, mask: Tensor) -> None:
    for readout, h in ((SpreadRegression(WIDTH, A, per_dimension), hidden(A)), (WholeRegression(WIDTH, A), hidden(1))):
        total, count = readout.loss(h, wanted(), mask)
        error = (readout.predict(h) - wanted()).square()
        torch.testing.assert_close(total, error[0, :3].sum() + error[1, 0].sum())
        assert count == 4 * A


@pytest.mark.parametrize("per_dimension", [True, False])
def test_cross_entropy_is_summed_over_real_steps(per_dimension: bool, mask: Tensor, centers: Tensor) -> None:
    readout, h = SpreadCategorical(WIDTH, A, per_dimension, centers, USED), hidden(A)
    if readout.rows is not None:
        torch.nn.init.normal_(readout.rows)
    ids = torch.randint(0, 3, (2, 4, A), generator=torch.Generator().manual_seed(2))
    total, count = readout.loss(h, ids, mask)
    expected = torch.zeros(())
    for b, t in mask.nonzero().tolist():
        for i in range(A):
            logits = readout.weight @ h[b, t, i] + readout.bias
            if readout.rows is not None:
                logits = logits + readout.rows[i] @ h[b, t, i]
            logits = logits[: USED[i]]
            expected = expected + logits.logsumexp(0) - logits[ids[b, t, i]]
    torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-5)
    assert count == 4 * A


def test_the_mean_of_the_distribution_is_predicted(centers: Tensor) -> None:
    readout, h = SpreadCategorical(WIDTH, A, False, centers, USED), hidden(A)
    for i in range(A):
        used = int(USED[i])
        weights = readout.logits(h)[..., i, :used].exp()
        expected = (weights * centers[i, :used]).sum(-1) / weights.sum(-1)
        torch.testing.assert_close(readout.predict(h)[..., i], expected)
        one_by_one = readout.predict(h[..., i : i + 1, :], i)[..., 0]
        torch.testing.assert_close(one_by_one, expected)
    with torch.no_grad():
        readout.bias[1] += 1000  # a certain bin decodes to its value
    torch.testing.assert_close(readout.predict(h), centers[:, 1].expand(2, 4, A))


def test_bins_that_a_dimension_does_not_use_are_never_predicted(centers: Tensor) -> None:
    readout = SpreadCategorical(WIDTH, A, False, centers, USED)
    with torch.no_grad():
        readout.bias[5:] = 100
    ids = readout.logits(hidden(A)).argmax(-1)
    assert (ids[..., :2] >= 5).all() and (ids[..., 2] < 3).all()
    assert readout.predict(hidden(A))[..., 2].max() <= centers[2, 2]


def test_padding_may_hold_anything(centers: Tensor, mask: Tensor) -> None:
    readout, h, ids = SpreadCategorical(WIDTH, A, False, centers, USED), hidden(A), torch.zeros(2, 4, A).long()
    before = readout.loss(h, ids, mask)[0]
    ids[~mask] = 7  # unused in the last dimension: an infinite loss, were it counted
    torch.testing.assert_close(readout.loss(h, ids, mask)[0], before)
