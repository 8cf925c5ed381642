"""Work that does not depend on the settings of the caller's process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import numpy as np
import torch

P = ParamSpec("P")
T = TypeVar("T")
AUTOCAST = ("cpu", "cuda", "mps", "xpu")
_shapes_alone: ContextVar[bool] = ContextVar("_shapes_alone", default=False)


@contextmanager
def isolated() -> Iterator[None]:
    """Inside, torch computes in this thread as in a fresh process; afterwards the caller's settings are back.

    Gradients are recorded, inference mode and autocast are off, and tensors are made on the CPU unless a device is
    named. `transfer.runtime.seeding` does the same for random numbers. Settings of the whole process stay, as other
    threads would see a change: the library names a dtype wherever the default one would count. Threads, matrix
    precision and deterministic algorithms are the caller's choice.
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
def products(kind: str, precision: torch.dtype) -> Iterator[None]:
    """Inside, matrix products on a kind of device have a precision.

    Weights that were cast are forgotten at the end, in a caller's autocast too: else the next pass would add to their
    gradients in that precision.
    """
    with torch.autocast(kind, precision, enabled=precision != torch.float32):
        yield
    torch.clear_autocast_cache()


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Inside, modules are built on the device "meta": names, dtypes and shapes of tensors without memory."""
    token = _shapes_alone.set(True)
    try:
        with torch.device("meta"):
            yield
    finally:
        _shapes_alone.reset(token)


def inference_only(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function to run in inference mode, without the caller's autocast.

    It runs at every step of an environment, so it does less than `isolated`: the function has to name the device of
    each new tensor.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        cast = any(map(torch.is_autocast_enabled, AUTOCAST))
        if torch.is_inference_mode_enabled() and not cast:  # inside another such function
            return function(*args, **kwargs)
        with isolated() if cast else nullcontext(), torch.inference_mode():
            return function(*args, **kwargs)

    return wrapped
