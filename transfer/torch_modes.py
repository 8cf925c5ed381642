"""PyTorch's modes of the thread that calls us, and how to be independent of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")
KINDS = ("cpu", "cuda")  # of devices that autocast may be on for


@contextmanager
def no_autocast() -> Iterator[None]:
    """Products in the dtype of their factors, whatever the caller's autocast says."""
    with ExitStack() as stack:
        for kind in KINDS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def usual() -> Iterator[None]:
    """As in a thread that has set nothing: no inference mode, gradients on, no autocast. For other people's code."""
    with torch.inference_mode(False), torch.enable_grad(), no_autocast():
        yield


def acting(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Runs a function that acts in environments: without gradients or autocast; its tensors are inference tensors."""

    @functools.wraps(function)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with torch.inference_mode(), no_autocast():
            return function(*args, **kwargs)

    return wrapped
