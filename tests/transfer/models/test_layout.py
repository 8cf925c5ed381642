"""The order of tokens inside a step, and which position predicts what."""

import pytest
import torch
from torch import Tensor

from transfer.errors import TransferError
from transfer.models.layout import Layout

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
    read = LAYOUT.read(LAYOUT.interleave(parts()), group)
    assert read[1, :, :, 0].tolist() == [[100 * step + first + i for i in range(size)] for step in range(4)]


def test_the_group_that_opens_a_step_is_predicted_by_nothing() -> None:
    with pytest.raises(TransferError, match="'return' opens the step"):
        LAYOUT.read(torch.zeros(2, 24, 1), "return")


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
