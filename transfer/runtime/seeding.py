"""Random numbers that depend on a seed and a name, from the library's own generators; torch's stay as they are."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from transfer.numbers import MOST_SEED, whole
from transfer.runtime.process import isolated

# Modules of torch that draw nothing. Others that are not the library's may draw at every step.
QUIET = (
    *(nn.Linear, nn.LayerNorm, nn.Embedding, nn.GELU, nn.ReLU, nn.Tanh, nn.Identity),
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict),
)
# Calls that make a tensor of the default dtype unless one is named.
MAKERS = ("empty", "empty_strided", "zeros", "ones", "rand", "randn", "eye", "linspace", "logspace")


class Draws:
    """One generator a device, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """The generator of a device; it draws what torch's own does after `torch.manual_seed`."""
        if device not in self._generators:
            self._generators[device] = torch.Generator("cpu" if device.type == "meta" else device)
            self._generators[device].manual_seed(self.seed)
        return self._generators[device]


_one_thread = threading.Lock()
_step: ContextVar[Draws | None] = ContextVar("draws of a training step", default=None)


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Inside, weights are drawn from (seed, name) as float32, whatever the caller's settings are.

    A CPU generator reads only the low 32 bits of its seed, so seed and name are both hashed into them.

    Raises:
        TransferError: the seed is no whole number from 0.
    """
    draws = Draws((zlib.crc32(name.encode()) + whole(seed, "seed", 0, MOST_SEED) * 0x9E3779B9) % 2**32)
    with isolated(), _Redirected(draws):
        yield


@contextmanager
def step_noise(seed: int, everything: bool = False) -> Iterator[None]:
    """Inside, `generator` returns the generators of one training step.

    Args:
        seed: of the step.
        everything: redirect calls of torch that draw without a generator, too; it costs microseconds a call.
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
    """Inside, torch's own generators start from a seed; afterwards their states are back.

    Compiled steps take no generator, so they need this. One thread at a time enters.
    """
    with _one_thread, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def generator(device: torch.device) -> torch.Generator | None:
    """The generator of the current training step for a device; None, which means torch's own, outside of steps."""
    draws = _step.get()
    return None if draws is None else draws.on(device)


def draws_by_itself(model: nn.Module, methods: Iterable[object] = ()) -> bool:
    """Whether a model in training may draw from torch's generators: not all that computes its loss is the library's.

    Args:
        model: its modules that train count, and groups of a step, frozen ones too.
        methods: of its policies.
    """
    used = (module for module in model.modules() if module.training or hasattr(module, "embed"))
    strange = (one for one in (*used, *methods) if not type(one).__module__.startswith("transfer."))
    return any(type(one) not in QUIET for one in strange)


class _Redirected(TorchDispatchMode):
    """Passes the library's generators to calls that draw without one, and float32 to calls that name no dtype.

    It acts below `torch.nn.init` and `torch.nn.functional`, in its own thread only.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import the compiler at the first draw, which takes most of a second

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.draws = draws

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, name = dict(kwargs or {}), func.overloadpacket.__name__
        if name.endswith("_") and args[0].is_meta:  # nothing to fill; torch would import its compiler
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
        """Dropout on a GPU: the one call that takes no generator."""
        mask = torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - p, generator=self.draws.on(x.device))
        return x * mask * (1 / (1 - p) if p < 1 else 0.0), mask


@cache
def _with_generator(func: Any) -> Any:
    """The overload of a call that takes a generator, itself or another; None for a call that draws nothing."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    kind = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
    return getattr(func.overloadpacket, kind) if kind in func.overloadpacket.overloads() else None
