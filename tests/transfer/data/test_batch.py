"""A batch refuses arrays that do not belong together."""

from dataclasses import fields
from typing import Any

import pytest
import torch

from transfer.data.batch import Batch
from transfer.errors import TransferError


def content() -> dict[str, Any]:
    return {
        "states": torch.ones(2, 5, 11),
        "actions": torch.ones(2, 5, 3),
        "rewards": torch.ones(2, 5),
        "columns": {"returns": torch.ones(2, 5), "goal": torch.ones(2, 5, 3)},
        "times": torch.ones(2, 5, dtype=torch.int64),
        "mask": torch.ones(2, 5, dtype=torch.bool),
    }


@pytest.mark.parametrize("name", ["states", "actions", "rewards", "times"])
def test_arrays_of_other_windows_are_refused(name: str) -> None:
    values = content()
    values[name] = values[name][:, :4]
    with pytest.raises(TransferError, match=rf"Batch.{name} is \(2, 4.* beside a mask of \(2, 5\)"):
        Batch(**values)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (torch.ones(2, 4), r"Batch.columns\['returns'\] is \(2, 4\) beside a mask of \(2, 5\)"),
        (torch.ones(2, 5, 3, 1), r"Batch.columns\['returns'\] is \(2, 5, 3, 1\) beside a mask"),
        (torch.ones(5), r"Batch.columns\['returns'\] is \(5,\) beside a mask"),
        (torch.ones(2, 5, dtype=torch.int64), r"Batch.columns\['returns'\] holds int64, real numbers wanted"),
        (3.0, r"Batch.columns\['returns'\] must be a tensor, got 3.0"),
    ],
)
def test_columns_of_other_windows_are_refused(column: Any, message: str) -> None:
    with pytest.raises(TransferError, match=message):
        Batch(**{**content(), "columns": {"returns": column}})


def test_a_column_that_is_not_there_is_answered_with_the_closest() -> None:
    batch = Batch(**content())
    assert batch.column("returns") is batch.columns["returns"]
    with pytest.raises(TransferError, match="unknown column 'return'. Did you mean 'returns'"):
        batch.column("return")


def test_states_without_a_size_are_refused() -> None:
    with pytest.raises(TransferError, match="Batch.states"):
        Batch(**{**content(), "states": torch.ones(2, 5)})


def test_a_mask_of_one_axis_is_refused() -> None:
    with pytest.raises(TransferError, match="must be \\(B, T\\)"):
        Batch(**{**content(), "mask": torch.ones(5, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("mask", torch.int64, "mask holds int64, bool wanted"),
        ("times", torch.float32, "times holds float32, whole numbers wanted"),
        ("times", torch.bool, "times holds bool, whole numbers wanted"),
        ("states", torch.int64, "states holds int64, real numbers wanted"),
        ("actions", torch.complex64, "actions holds complex64, real numbers wanted"),
    ],
)
def test_other_kinds_of_numbers_are_refused(name: str, dtype: torch.dtype, message: str) -> None:
    values = content()
    values[name] = values[name].to(dtype)
    with pytest.raises(TransferError, match=message):
        Batch(**values)


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(TransferError, match="Batch.states must be a tensor, got array"):
        Batch(**{**content(), "states": content()["states"].numpy()})
    with pytest.raises(TransferError, match="Batch.mask must be a tensor, got None"):
        Batch(**{**content(), "mask": None})


def test_moving_to_a_device_moves_everything() -> None:
    moved = Batch(**content()).to("meta")
    tensors = [getattr(moved, field.name) for field in fields(Batch) if field.name != "columns"]
    assert {x.device.type for x in (*tensors, *moved.columns.values())} == {"meta"}
    assert list(moved.columns) == ["returns", "goal"]
