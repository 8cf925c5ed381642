"""Readouts: predictions, and a loss of sum and count without padding."""

import pytest
import torch
from torch import Tensor

from transfer.adapters.readouts.categorical import SpreadCategorical
from transfer.adapters.readouts.regression import SpreadRegression, WholeRegression
from transfer.adapters.tokenizers.bins import Bins
from transfer.adapters.tokenizers.tables import Tables

WIDTH, A, BINS = 16, 3, 8
USED = (8, 8, 3)


@pytest.fixture
def mask() -> Tensor:
    return torch.tensor([[True, True, True, False], [True, False, False, False]])


@pytest.fixture
def bins() -> Bins:
    centers = [[(2 * i + 1) / BINS - 1 + a / 100 for i in range(used)] for a, used in enumerate(USED)]
    edges = [[2 * i / BINS - 1 for i in range(1, used)] for used in USED]
    return Bins(Tables.from_json({"kind": "uniform", "bins": BINS, "edges": edges, "centers": centers}))


def hidden(tokens: int) -> Tensor:
    return torch.randn(2, 4, tokens, WIDTH, generator=torch.Generator().manual_seed(0))


def wanted() -> Tensor:
    return torch.rand(2, 4, A, generator=torch.Generator().manual_seed(1)) * 2 - 1


def weight(mask: Tensor, hidden: Tensor) -> Tensor:
    """(B, T, n), of each token."""
    return mask[..., None].expand(-1, -1, hidden.shape[2])


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
        total, count, _ = readout.loss(h, wanted(), weight(mask, h))
        error = (readout.predict(h) - wanted()).square()
        torch.testing.assert_close(total, error[0, :3].sum() + error[1, 0].sum())
        assert count == 4 * A


@pytest.mark.parametrize("per_dimension", [True, False])
def test_cross_entropy_is_summed_over_real_steps(per_dimension: bool, mask: Tensor, bins: Bins) -> None:
    readout, h = SpreadCategorical(WIDTH, A, per_dimension, BINS), hidden(A)
    if readout.rows is not None:
        torch.nn.init.normal_(readout.rows)
    total, count, _ = readout.loss(h, wanted(), weight(mask, h), bins)
    ids, expected = bins(wanted()), torch.zeros(())
    for b, t in mask.nonzero().tolist():
        for i in range(A):
            logits = readout.weight @ h[b, t, i] + readout.bias
            if readout.rows is not None:
                logits = logits + readout.rows[i] @ h[b, t, i]
            logits = logits[: USED[i]]
            expected = expected + logits.logsumexp(0) - logits[ids[b, t, i]]
    torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-5)
    assert count == 4 * A


def test_the_mean_of_the_distribution_is_predicted(bins: Bins) -> None:
    readout, h, centers = SpreadCategorical(WIDTH, A, False, BINS), hidden(A), bins.centers
    for i in range(A):
        used = USED[i]
        weights = readout.logits(h, 0, bins)[..., i, :used].exp()
        expected = (weights * centers[i, :used]).sum(-1) / weights.sum(-1)
        torch.testing.assert_close(readout.predict(h, 0, bins)[..., i], expected)
        one_by_one = readout.predict(h[..., i : i + 1, :], i, bins)[..., 0]
        torch.testing.assert_close(one_by_one, expected)
    with torch.no_grad():
        readout.bias[1] += 1000  # a certain bin decodes to its value
    torch.testing.assert_close(readout.predict(h, 0, bins), centers[:, 1].expand(2, 4, A))


def test_bins_that_a_dimension_does_not_use_are_never_predicted(bins: Bins) -> None:
    readout = SpreadCategorical(WIDTH, A, False, BINS)
    with torch.no_grad():
        readout.bias[5:] = 100
    ids = readout.logits(hidden(A), 0, bins).argmax(-1)
    assert (ids[..., :2] >= 5).all() and (ids[..., 2] < 3).all()
    assert readout.predict(hidden(A), 0, bins)[..., 2].max() <= bins.centers[2, 2]


def test_padding_may_hold_anything(bins: Bins, mask: Tensor) -> None:
    readout, h, actions = SpreadCategorical(WIDTH, A, False, BINS), hidden(A), torch.zeros(2, 4, A)
    before = readout.loss(h, actions, weight(mask, h), bins).sum
    actions[~mask] = torch.nan
    torch.testing.assert_close(readout.loss(h, actions, weight(mask, h), bins).sum, before)
