"""One update of the weights, and its measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from transfer.data.batch import Batch
from transfer.errors import TransferError
from transfer.models.acting import PolicyModel
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
        self.loss = self.count = self.norm = torch.zeros((), dtype=torch.float32)
        self.steps, self.tokens, self.since = 0, 0, self._clock.seconds()

    def add(self, loss: Tensor, count: Tensor, norm: Tensor, tokens: int) -> None:
        """Add what `update` returned, and the tokens of the batch."""
        self.loss, self.count, self.norm = self.loss + loss, self.count + count, self.norm + norm
        self.steps, self.tokens = self.steps + 1, self.tokens + tokens

    def read(self, rate: float) -> dict[str, float]:
        """Means over the steps since the last report."""
        values = {
            "train/loss": float(self.loss) / max(float(self.count), 1.0),
            "train/grad_norm": float(self.norm) / self.steps,
            "train/lr": rate,
            "train/tokens_per_second": self.tokens / max(self._clock.seconds() - self.since, 1e-9),
        }
        self._restart()
        return values


def check_weights(module: nn.Module, what: str) -> None:
    """Raise TransferError, with the name of the tensor, unless all weights are float32 and finite."""
    weights = dict(module.named_parameters())
    for name, p in weights.items():
        if p.dtype != torch.float32:
            raise TransferError(f"{name} of {what} is {p.dtype}; training takes float32. Call .float() on {what}.")
    if name := first_not_finite(weights):
        raise TransferError(f"{name} of {what} holds NaN or infinity before the first step. Load {what} again.")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; those below two dimensions (biases, LayerNorms, IA3) are not decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=(0.9, 0.999), fused=True)


def update(
    model: PolicyModel,
    loss_of: Callable[[Batch, torch.dtype], tuple[Tensor, Tensor]],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    noise: AbstractContextManager[None],
    precision: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Update the weights once; returns sum and count of the loss, and the norm of the gradient before clipping.

    All three and the gradient are of the whole batch: each process divides by the real tokens of all processes.
    `noise` is of this step, see `transfer.runtime.seeding.step_noise`.

    Raises:
        TransferError: what trains is not what the optimizer has.
    """
    trained = _trained(model, optimizer, step)
    torch.clear_autocast_cache()  # in a caller's autocast it holds the weights of the last step
    with noise:
        loss, count = loss_of(noisy(batch, model, config.state_noise), precision)
    add_up([count])
    (loss / count).backward()
    loss = loss.detach()
    add_up([loss, *(p.grad for p in trained if p.grad is not None)])
    norm = nn.utils.clip_grad_norm_(trained, config.clip)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, count, norm


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


def noisy(batch: Batch, model: PolicyModel, amount: float) -> Batch:
    """The batch with noise on its states; noise is drawn for the windows of all processes, each takes its own."""
    if not amount:
        return batch
    windows = len(batch.states)
    shape, device = (size() * windows, *batch.states.shape[1:]), batch.states.device
    noise = torch.randn(shape, dtype=torch.float32, device=device, generator=generator(device))
    deviation = torch.tensor(model.statistics.state_std, dtype=torch.float32, device=device)  # (S,)
    return replace(batch, states=batch.states + amount * deviation * noise[rank() * windows :][:windows])


def noise_seed(seed: int, step: int) -> int:
    """A 63-bit seed for (seed, step)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63
