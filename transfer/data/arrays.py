"""Copies of a caller's arrays: lists, NumPy arrays of any strides, tensors on any device."""

import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from transfer.errors import TransferError

_OBJECTS = "Python objects (None, ragged rows, or numbers of mixed kinds)"
_KINDS = {"O": _OBJECTS, "S": "bytes", "U": "text", "T": "text", "M": "dates", "m": "time spans", "V": "records"}


def own(values: Any, name: str, ndim: int | None = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A contiguous copy of an array, over memory that the caller does not hold.

    Numbers too large for `dtype` become infinite if it has infinities; callers check for finite numbers.

    Args:
        values: nested lists, a NumPy array of real numbers of any type and strides, or a torch tensor on any device.
        name: of the array, for errors, as "mine: states".
        ndim: axes it must have; default: any number.
        dtype: of the copy. An integer type takes whole numbers only, `bool` takes booleans, 0 and 1.

    Raises:
        TransferError: the values are masked, complex, dates, objects, text, ragged, or booleans instead of numbers;
            they are not whole numbers in range or not booleans if `dtype` needs those; or `ndim` is another.
    """
    wanted = np.dtype(dtype)
    try:
        array = np.asarray(_plain(values, name))
    except TransferError:
        raise
    except Exception as error:  # arrays of other libraries raise anything
        reason = " ".join(str(error).split())[:200]
        raise TransferError(f"{name} are not an array of numbers: {reason}") from error
    if ndim is not None and array.ndim != ndim:
        raise TransferError(f"{name} must be {ndim}-d {wanted}, got {array.ndim}-d {array.dtype}")
    _check_kind(array, name, wanted)
    try:
        with np.errstate(over="ignore"):
            return np.array(array, dtype=wanted, order="C", copy=True, subok=False)
    except MemoryError as error:
        raise TransferError(f"{name}, of shape {array.shape}, do not fit into memory") from error


def _plain(values: Any, name: str, depth: int = 0) -> Any:
    """The values without tensors, which NumPy refuses if they need gradients, and without masks, which it ignores."""
    if isinstance(values, np.ma.MaskedArray):
        raise TransferError(f"{name} are a masked array, whose hidden values would become numbers. Fill or drop them.")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        return _of_tensor(values, name)
    if isinstance(values, list | tuple) and depth < 8 and not all(type(one) in (int, float) for one in values):
        return [_plain(one, name, depth + 1) for one in values]
    return values


def _of_tensor(tensor: Any, name: str) -> NDArray[Any]:
    """The numbers of a torch tensor on the host; bfloat16, which NumPy lacks, as float32."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        raise TransferError(f"{name} are a {tensor.layout} tensor without plain numbers. Give a dense one.")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    plain = plain.float() if plain.is_floating_point() and plain.itemsize < 4 else plain
    return np.asarray(plain.numpy())


def _check_kind(array: NDArray[Any], name: str, wanted: np.dtype[Any]) -> None:
    """Raises TransferError unless the elements are numbers, and booleans or whole numbers if those are wanted."""
    kind = array.dtype.kind
    if kind == wanted.kind == "b":
        return
    if kind == "c":
        raise TransferError(f"{name} are {array.dtype}: real numbers wanted. Complex data not supported.")
    if kind not in "fiu":
        held = _KINDS.get(kind, str(array.dtype))
        raise TransferError(f"{name} are not an array of numbers: they hold {held}; real numbers wanted")
    if wanted.kind == "b":
        fine = (array == 0) | (array == 1)
        if not fine.all():
            raise TransferError(f"{name} hold {array[~fine].flat[0]}; booleans, or 0 and 1, wanted")
    if wanted.kind in "iu" and not (kind in "iu" and np.can_cast(array.dtype, wanted)):
        _check_whole(array, name, wanted)


def _check_whole(array: NDArray[Any], name: str, wanted: np.dtype[Any]) -> None:
    info = np.iinfo(wanted)
    with np.errstate(invalid="ignore"):
        fine = (array >= info.min) & (array <= info.max) & (array == np.floor(array))
        if array.dtype.kind == "f":  # the largest integer rounds up to a float beyond it
            fine &= array < float(info.max)
    if not fine.all():
        raise TransferError(f"{name} hold {array[~fine].flat[0]}; whole numbers from {info.min} to {info.max} wanted")
