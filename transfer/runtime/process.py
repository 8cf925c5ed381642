"""Work that does not depend on how the caller's process is set up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import numpy as np
import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")
AUTOCAST = ("cpu", "cuda", "mps", "xpu")
_shapes_alone: ContextVar[bool] = ContextVar("modules are built for their shapes alone", default=False)


@contextmanager
def isolated() -> Iterator[None]:
    """Inside, torch computes as in a fresh process, in this thread alone; afterwards as the caller had it.

    Gradients are recorded, and in no inference mode; no autocast of the caller's casts anything; tensors are made on
    the CPU unless a device is named. `transfer.runtime.seeding` has the random numbers. What torch sets for the whole
    process is left alone, as other threads would see it: where the default dtype would decide, the library names one.
    Threads, matrix precision and deterministic algorithms are the caller's choice.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))  # NumPy's own
        if torch.get_default_device() != torch.device("cpu") and not _shapes_alone.get():
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Inside, modules are built without numbers, on the device "meta", to learn what they would be made of."""
    token = _shapes_alone.set(True)
    try:
        with torch.device("meta"):
            yield
    finally:
        _shapes_alone.reset(token)


def acting(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Runs a function that acts in environments: in inference mode, without the caller's autocast.

    Something is acted at every step of an environment, so this does less than `isolated`: what runs in it names the
    device of what it makes.
    """

    @functools.wraps(function)
    def wrapped(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        cast = any(map(torch.is_autocast_enabled, AUTOCAST))
        if torch.is_inference_mode_enabled() and not cast:  # inside another one
            return function(*args, **kwargs)
        with isolated() if cast else nullcontext(), torch.inference_mode():
            return function(*args, **kwargs)

    return wrapped
