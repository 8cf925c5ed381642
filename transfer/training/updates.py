"""One update of the weights, and its measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel, Trainable
from transfer.models.steps.group import Loss, check_loss
from transfer.numbers import seen
from transfer.runtime.distributed import add_up, rank, size
from transfer.runtime.seeding import generator
from transfer.training.resume import first_not_finite
from transfer.training.train_config import TrainConfig


class Clock:
    """Seconds of training, without the callbacks."""

    def __init__(self) -> None:
        self._since, self._paused = time.perf_counter(), 0.0

    def seconds(self) -> float:
        """Since the start, without pauses."""
        return time.perf_counter() - self._since - self._paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock inside."""
        began = time.perf_counter()
        yield
        self._paused += time.perf_counter() - began


class Meter:
    """Sums since the last report, on the device: no step waits for the host."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._restart()

    def _restart(self) -> None:
        self.norm = torch.zeros((), dtype=torch.float32)
        self.terms: dict[str, Loss] = {}
        self.steps, self.tokens, self.since = 0, 0, self._clock.seconds()

    def add(self, terms: Mapping[str, Loss], norm: Tensor, tokens: int) -> None:
        """Add what `update` returned, and the tokens of the batch."""
        for name, (total, count, weight) in terms.items():
            if name in self.terms:
                total, count = self.terms[name].sum + total, self.terms[name].count + count
            self.terms[name] = Loss(total, count, weight)
        self.norm = self.norm + norm
        self.steps, self.tokens = self.steps + 1, self.tokens + tokens

    def read(self, rates: Mapping[str, float], weighs: Mapping[str, float]) -> dict[str, float]:
        """Means since the last report by tag.

        `train/loss` is the objective, `train/loss/TERM` a term of it, `train/loss/NAME` the objective of one of several
        policies, before its weight; a policy of weight 0 has none.

        Args:
            rates: as of `rates_of`.
            weighs: as of `transfer.models.acting.Trainable.weighs`.
        """
        means = {name: float(term.sum) / max(float(term.count), 1.0) for name, term in self.terms.items()}
        parts = {name: self.terms[name].weight * mean for name, mean in means.items()}
        values = {
            "train/loss": sum(parts.values()),
            **{f"train/loss/{name}": of / weighs[name] for name, of in _by_policy(parts, weighs).items()},
            **{f"train/loss/{name}": mean for name, mean in means.items()},
            "train/grad_norm": float(self.norm) / self.steps,
            **rates,
            "train/tokens_per_second": self.tokens / max(self._clock.seconds() - self.since, 1e-9),
        }
        self._restart()
        return values


def _by_policy(parts: Mapping[str, float], weighs: Mapping[str, float]) -> dict[str, float]:
    """The sum of the parts NAME/TERM of each policy with a weight."""
    sums = {name: 0.0 for name, weight in weighs.items() if weight}
    for part, value in parts.items():
        owner = max((name for name in weighs if part.startswith(f"{name}/")), key=len, default="")
        if owner in sums:
            sums[owner] += value
    return sums


def check_weights(module: nn.Module, what: str) -> None:
    """Raise TransferError, with the name of the tensor, unless all weights are float32 and finite."""
    weights = dict(module.named_parameters())
    for name, p in weights.items():
        if p.dtype != torch.float32:
            raise TransferError(f"{name} of {what} is {p.dtype}; training takes float32. Call .float() on {what}.")
    if name := first_not_finite(weights):
        raise TransferError(f"{name} of {what} holds NaN or infinity before the first step. Load {what} again.")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; those below two dimensions (biases, LayerNorms, IA3) are not decayed.

    Where the config says so, parameters outside the trunk have a rate of their own, `share` times that of the trunk.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    trunk = {id(p) for p in getattr(model, "trunk", nn.Module()).parameters()}
    apart = bool(config.adapter_lr)
    share = config.adapter_lr / config.lr if apart else 1.0
    kinds = [(decayed, fresh) for fresh in ((False, True) if apart else (False,)) for decayed in (True, False)]
    groups = [
        {
            "params": [p for p in trained if (p.dim() >= 2) == decayed and (apart and id(p) not in trunk) == fresh],
            "weight_decay": config.weight_decay if decayed else 0.0,
            "share": share if fresh else 1.0,
        }
        for decayed, fresh in kinds
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=(0.9, 0.999), fused=True)


def rates_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rates of the last update by tag.

    `train/lr` is that of the trunk where it trains, else that of the adapter; `train/adapter_lr` is that of the adapter
    where both train and the config gives it a rate of its own.
    """
    found = {group["share"]: group["lr"] for group in optimizer.param_groups}  # the trunk's groups come first
    return dict(zip(("train/lr", "train/adapter_lr"), found.values(), strict=False))


def update(
    model: Trainable,
    loss_of: Callable[[Any, torch.dtype], dict[str, Loss]],
    batch: Any,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    noise: AbstractContextManager[None],
    precision: torch.dtype,
) -> tuple[dict[str, Loss], Tensor]:
    """Update the weights once; returns the terms of the objective, and the norm of the gradient before clipping.

    The objective is the sum of weight * sum / count over its terms. All of it and the gradient are of the whole batch:
    each process divides by the counts of all processes. `noise` is of this step, see
    `transfer.runtime.seeding.step_noise`.

    Raises:
        TransferError: what trains is not what the optimizer has, or a loss that has no terms.
    """
    trained = _trained(model, optimizer, step)
    torch.clear_autocast_cache()  # in a caller's autocast it holds the weights of the last step
    with noise:
        terms = _checked(loss_of(noisy(batch, model, config.state_noise), precision))
    add_up([term.count for term in terms.values()])
    parts = [term.weight * (term.sum / term.count.clamp(min=1)) for term in terms.values()]
    objective = sum(parts[1:], parts[0])
    if not objective.requires_grad:
        raise TransferError(f"the loss depends on none of the {len(trained)} tensors that train: select other parts.")
    objective.backward()
    terms = {name: Loss(term.sum.detach(), *term[1:]) for name, term in terms.items()}
    add_up([*(term.sum for term in terms.values()), *(p.grad for p in trained if p.grad is not None)])
    norm = nn.utils.clip_grad_norm_(trained, config.clip)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(step) * group["share"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return terms, norm


def _checked(terms: object) -> dict[str, Loss]:
    """The terms of an objective. Raises TransferError for none, or one that is no `Loss`."""
    if not isinstance(terms, Mapping) or not terms:
        raise TransferError(f"the loss is {seen(terms)}; a table of terms is needed, a Loss each.")
    return {name: check_loss(term, f"the term '{name}' of the loss") for name, term in terms.items()}


def _trained(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> list[nn.Parameter]:
    """The parameters that train. Raises TransferError for none, or one that the optimizer does not have."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if strange := next((name for name, p in trained.items() if id(p) not in known), "" if trained else "nothing"):
        raise TransferError(
            f"{strange} trains before step {step + 1}, which was not so at the start: a callback exchanged, froze or "
            "unfroze parts of the model. Call fit again for another adapter or other parts."
        )
    return list(trained.values())


def noisy(batch: Any, model: Trainable, amount: float) -> Any:
    """The batch with noise on its states, or of each policy with noise by its own deviations."""
    if not amount:
        return batch
    members = model.members()
    if isinstance(batch, Mapping):
        return {name: _noisy(one, members[name], amount) for name, one in batch.items()}
    return _noisy(batch, members[""], amount)


def _noisy(batch: Batch, model: PolicyModel, amount: float) -> Batch:
    """A batch with noise; it is drawn for the windows of all processes, each takes its own."""
    windows = len(batch.states)
    shape, device = (size() * windows, *batch.states.shape[1:]), batch.states.device
    noise = torch.randn(shape, dtype=torch.float32, device=device, generator=generator(device))
    deviation = torch.tensor(model.statistics.state_std, dtype=torch.float32, device=device)  # (S,)
    return replace(batch, states=batch.states + amount * deviation * noise[rank() * windows :][:windows])


def noise_seed(seed: int, step: int) -> int:
    """A 63-bit seed for (seed, step)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63
