"""Random numbers as functions of a seed and a name, from generators of our own: nobody else's is read or moved."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from transfer.numbers import MOST_SEED, whole
from transfer.runtime.process import isolated

# Modules of torch that draw nothing; what is neither one of these nor ours may draw at every step.
QUIET = (
    *(nn.Linear, nn.LayerNorm, nn.Embedding, nn.GELU, nn.ReLU, nn.Tanh, nn.Identity),
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict),
)
# Calls that make a tensor of the default dtype where none is named.
MAKERS = ("empty", "empty_strided", "zeros", "ones", "rand", "randn", "eye", "linspace", "logspace")


class Draws:
    """Generators that all start from one seed, one for each device that something is drawn on."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """The generator of a device; what `torch.manual_seed` makes of its own, it draws from the same seed."""
        if device not in self._generators:
            self._generators[device] = torch.Generator("cpu" if device.type == "meta" else device)
            self._generators[device].manual_seed(self.seed)
        return self._generators[device]


_one_thread = threading.Lock()
_step: ContextVar[Draws | None] = ContextVar("draws of a training step", default=None)


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Inside, weights are drawn from (seed, name), as float32, whatever the caller's process is set to.

    A CPU generator reads the low 32 bits of its seed only, so both have to reach them.

    Raises:
        TransferError: the seed is no whole number from 0.
    """
    draws = Draws((zlib.crc32(name.encode()) + whole(seed, "seed", 0, MOST_SEED) * 0x9E3779B9) % 2**32)
    with isolated(), _Redirected(draws):
        yield


@contextmanager
def step_noise(seed: int, everything: bool = False) -> Iterator[None]:
    """Inside, `generator` hands out the noise of one training step.

    Args:
        seed: of the step.
        everything: serve modules that ask torch for random numbers too, at some microseconds for each call.
    """
    draws = Draws(seed)
    token = _step.set(draws)
    try:
        with _Redirected(draws) if everything else nullcontext():
            yield
    finally:
        _step.reset(token)


@contextmanager
def forked_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's own generators start from a seed; afterwards they are where they were.

    For steps that torch.compile has compiled, which take no generator. One thread at a time is in here.
    """
    with _one_thread, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def generator(device: torch.device) -> torch.Generator | None:
    """The generator of the training step under way, for draws on a device; None outside, where torch's own serves."""
    draws = _step.get()
    return None if draws is None else draws.on(device)


def draws_by_itself(model: nn.Module) -> bool:
    """Whether a model in training may ask torch for random numbers: it has modules that are not the library's."""
    used = (module for module in model.modules() if module.training)
    return any(type(m) not in QUIET and not type(m).__module__.startswith("transfer.") for m in used)


class _Redirected(TorchDispatchMode):
    """Hands our generators to every call that draws without one, and names the dtype where none was named.

    It works below `torch.nn.init` and `torch.nn.functional`, and in its own thread only.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler at the first draw, which takes most of a second

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.draws = draws

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = dict(kwargs or {}), func.overloadpacket.__name__
        if name.endswith("_") and args[0].is_meta:  # no numbers; torch would import its compiler, which takes a second
            return args[0]
        if name == "native_dropout" and args[2]:
            return self._dropout(args[0], args[1])
        if given.get("dtype") is None and (name in MAKERS or (name == "full" and isinstance(args[1], float))):
            given["dtype"] = torch.float32
        drawing = _with_generator(func)
        if drawing is None or given.get("generator") is not None:
            return func(*args, **given)
        device = next((arg.device for arg in args if isinstance(arg, Tensor)), given.get("device"))
        if name == "randn" and given.get("device") == torch.device("meta"):
            return torch.empty(args[0], **given)
        return drawing(*args, **given, generator=self.draws.on(torch.device(device or "cpu")))

    def _dropout(self, x: Tensor, p: float) -> tuple[Tensor, Tensor]:
        """The one call without a place for a generator; torch makes it on a GPU."""
        mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p, generator=self.draws.on(x.device))
        return x * mask * (1 / (1 - p) if p < 1 else 0.0), mask


@cache
def _with_generator(func: Any) -> Any:
    """The overload of a call that takes a generator: itself or another; None for a call that draws nothing."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    kind = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
    return getattr(func.overloadpacket, kind) if kind in func.overloadpacket.overloads() else None
