"""The order of tokens inside a step, and which position predicts what."""

import pytest
import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.models.steps.layout import Layout

LAYOUT = Layout((("return", 1), ("state", 2), ("action", 3)))


def parts() -> dict[str, Tensor]:
    """Two rows of four steps; a token holds 100 * step + its position in the step."""
    numbers = 100 * torch.arange(4)[:, None] + torch.arange(6)  # (T, K)
    tokens = numbers.float().expand(2, 4, 6)[..., None]
    return {"action": tokens[:, :, 3:], "return": tokens[:, :, :1], "state": tokens[:, :, 1:3]}


def test_steps_follow_each_other_with_their_groups_in_order() -> None:
    sequence = LAYOUT.interleave(parts())
    assert sequence.shape == (2, 24, 1)
    assert sequence[0, :, 0].tolist() == [100 * step + token for step in range(4) for token in range(6)]


@pytest.mark.parametrize(("group", "first", "size"), [("state", 0, 2), ("action", 2, 3)])
def test_a_token_is_predicted_by_the_one_before_it(group: str, first: int, size: int) -> None:
    before = LAYOUT.before(LAYOUT.interleave(parts()), group)
    assert before[1, :, :, 0].tolist() == [[100 * step + first + i for i in range(size)] for step in range(4)]


def test_the_group_that_opens_a_step_is_predicted_by_the_step_before_and_in_a_window_s_first_by_zeros() -> None:
    sequence = LAYOUT.interleave(parts()) + 1
    assert LAYOUT.before(sequence, "return")[1, :, 0, 0].tolist() == [0, 6, 106, 206]
    assert [LAYOUT.opens(group) for group, _ in LAYOUT.groups] == [True, False, False]
    first = Layout((("state", 2), ("action", 1)))
    sequence = torch.arange(1.0, 10).view(1, 9, 1)
    assert first.before(sequence, "state")[0, :, :, 0].tolist() == [[0, 1], [3, 4], [6, 7]]


@pytest.mark.parametrize(("group", "first", "size"), [("return", 0, 1), ("state", 1, 2), ("action", 3, 3)])
def test_a_group_has_its_own_positions(group: str, first: int, size: int) -> None:
    own = LAYOUT.at(LAYOUT.interleave(parts()), group)
    assert own[1, :, :, 0].tolist() == [[100 * step + first + i for i in range(size)] for step in range(4)]


@pytest.mark.parametrize("causal", [True, False])
def test_hidden_tokens_are_seen_within_their_step_alone(causal: bool) -> None:
    assert LAYOUT.mask(4, causal=True) is None
    mask = Layout(LAYOUT.groups, hides=("state",)).mask(4, causal)
    assert mask is not None and mask.shape == (24, 24)
    for query in range(24):
        for key in range(24):
            hidden = key % 6 in (1, 2) and key // 6 != query // 6
            assert mask[query, key] == (not hidden and (key <= query or not causal))


def test_hiding_an_unknown_group_is_refused() -> None:
    with pytest.raises(TransferError, match="'actions'. Did you mean 'action'"):
        Layout(LAYOUT.groups, hides=("actions",))


def test_an_unknown_group_is_answered_with_the_closest() -> None:
    with pytest.raises(TransferError, match="'actions'. Did you mean 'action'"):
        LAYOUT.span("actions")


def test_a_missing_group_is_refused() -> None:
    with pytest.raises(TransferError, match="was given the groups"):
        LAYOUT.interleave({"return": torch.zeros(2, 4, 1, 1), "state": torch.zeros(2, 4, 2, 1)})


def test_a_group_of_another_size_is_refused() -> None:
    with pytest.raises(TransferError, match="'action' has 2 tokens, the layout wants 3"):
        LAYOUT.interleave({**parts(), "action": torch.zeros(2, 4, 2, 1)})


@pytest.mark.parametrize("groups", [(), (("state", 0),), (("state", 1), ("state", 1))])
def test_groups_that_make_no_step_are_refused(groups: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(TransferError, match="distinct groups of at least one token"):
        Layout(groups)
