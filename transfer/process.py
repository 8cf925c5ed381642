"""Work that does not depend on how the caller's process is set up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

AUTOCAST = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def isolated() -> Iterator[None]:
    """Inside, torch computes as in a fresh process, in this thread alone; afterwards as the caller had it.

    Gradients are recorded, and in no inference mode; no autocast of the caller's casts anything; tensors are made on
    the CPU unless a device is named. `transfer.seeding` has the random numbers. What torch sets for the whole process
    is left alone, as other threads would see it: where the default dtype would decide, the library names one.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type not in ("cpu", "meta"):  # "meta" is asked for to learn shapes alone
            stack.enter_context(torch.device("cpu"))
        yield
