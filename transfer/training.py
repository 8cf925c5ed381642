"""One training loop, for pretraining and for adapting."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer.base import PolicyModel
from transfer.batch import Batch
from transfer.distributed import add_up, check_same, check_shares, first_process_first, rank, size
from transfer.errors import TransferError
from transfer.freezing import Selection, fingerprint, train_only
from transfer.memory import kept_memory
from transfer.numbers import MOST_BATCH, MOST_CONTEXT, MOST_STEPS, real, whole
from transfer.process import isolated
from transfer.sampler import WindowSampler
from transfer.seeding import draws_by_itself, forked_noise, generator, step_noise

OnLog = Callable[[int, dict[str, float]], None]
OnStep = Callable[[int], None]
SIZES = {  # the whole numbers of a `TrainConfig`, each at least 1, with the largest allowed
    "steps": MOST_STEPS,
    "batch_size": MOST_BATCH,
    "context": MOST_CONTEXT,
    "log_every": MOST_STEPS,
    "save_every": MOST_STEPS,
}


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: updates.
        batch_size: B, windows per update, of all processes together.
        lr: highest learning rate.
        warmup: share of the steps over which the rate rises linearly from zero.
        final_lr: share of `lr` that is left at the end of the cosine decay; 1 keeps it constant.
        weight_decay: AdamW's, on tensors of two or more dimensions.
        state_noise: standard deviation of Gaussian noise on the states of every window, in those of the dataset.
        clip: largest norm of the gradient.
        context: T, steps per window.
        log_every: steps between reports.
        save_every: steps between checkpoints; a multiple of `log_every`.
    """

    steps: int = 5000
    batch_size: int = 64
    lr: float = 1e-3
    warmup: float = 0.1
    final_lr: float = 0.1
    weight_decay: float = 1e-4
    state_noise: float = 0.0
    clip: float = 1.0
    context: int = 20
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        keep = partial(object.__setattr__, self)
        for name, most in SIZES.items():
            keep(name, whole(getattr(self, name), name, 1, most))
        for name in ("lr", "clip"):
            keep(name, real(getattr(self, name), name, above=0))
        for name in ("weight_decay", "state_noise"):
            keep(name, real(getattr(self, name), name, 0))
        for name in ("warmup", "final_lr"):
            keep(name, real(getattr(self, name), name, 0, 1))
        if self.weight_decay * self.lr > 1:
            raise TransferError(
                f"weight_decay={self.weight_decay:g} times lr={self.lr:g} is more than 1: each step would take more "
                "off the weights than they are. Set weight_decay to 0.0001, say."
            )
        if self.save_every % self.log_every:
            raise TransferError(f"save_every={self.save_every} must be a multiple of log_every={self.log_every}.")

    def rate(self, step: int) -> float:
        """Learning rate of an update, counted from 0: linear warm-up, then a cosine down to `final_lr`."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class FitResult:
    """What a training run leaves behind besides the weights."""

    selection: Selection
    final_loss: float
    seconds: float
    tokens_per_second: float


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what requires a gradient; tensors below two dimensions (biases, LayerNorms, IA3) are not decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=(0.9, 0.999), fused=True)


def best_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capable = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if capable else torch.float32


class _Meter:
    """Sums since the last report, kept on the device so that no step waits for the host."""

    def __init__(self) -> None:
        self.loss = self.count = self.norm = torch.zeros((), dtype=torch.float32)
        self.steps, self.tokens = 0, 0
        self.since = time.perf_counter()

    def add(self, loss: torch.Tensor, count: torch.Tensor, norm: torch.Tensor, tokens: int) -> None:
        self.loss, self.count, self.norm = self.loss + loss.detach(), self.count + count, self.norm + norm
        self.steps, self.tokens = self.steps + 1, self.tokens + tokens

    def read(self, rate: float) -> dict[str, float]:
        """Means over the steps since the last report."""
        seconds = max(time.perf_counter() - self.since, 1e-9)
        values = {
            "train/loss": float(self.loss) / max(float(self.count), 1.0),
            "train/grad_norm": float(self.norm) / self.steps,
            "train/lr": rate,
            "train/tokens_per_second": self.tokens / seconds,
        }
        self.__init__()  # type: ignore[misc]
        return values


@kept_memory()
@isolated()
def fit(
    model: PolicyModel,
    sampler: WindowSampler,
    config: TrainConfig,
    parts: list[str],
    *,
    precision: torch.dtype | None = None,
    compile: bool = False,
    checkpoint: Path | None = None,
    on_start: Callable[[Selection, int], None] | None = None,
    on_log: OnLog | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Train some parts of a model; everything else stays as it is, bit for bit.

    Dropout noise is a function of (seed, step), windows of (seed, step, row): a run that was killed and resumes from
    its checkpoint ends in the same bytes as an unbroken one (same device and number of threads).

    In several connected processes (see `transfer.distributed`) each takes its block of the rows of every batch, sums
    and gradients are added up, and all end with the same weights. Only the first one calls back and saves.

    While it runs, the process keeps memory that was freed, see `transfer.memory`.

    Args:
        model: what trains.
        sampler: where the windows come from; its batch size and seed count.
        config: how.
        parts: names of the parts that train, see `transfer.freezing.train_only`.
        precision: of the trunk's products; None chooses `best_precision`.
        compile: run forward and backward through `torch.compile`, which takes a minute or more at the first step.
        checkpoint: folder for the state of the run, the last one too; one that is there already is resumed.
        on_start: called before the first step with what trains and the number of steps already done.
        on_log: called every `log_every` steps with the step and the values by TensorBoard tag.
        on_step: called after every step with its number, 1 for the first.

    Raises:
        TransferError: nothing selected, a loss that is not finite, a checkpoint of another run, a batch that the
            processes cannot share equally, processes that train different things.
    """
    from transfer.resuming import load_progress, save_progress

    check_shares(sampler.batch_size)
    selection = train_only(model, parts)
    precision = precision or best_precision(model.device)
    optimizer = make_optimizer(model, config)
    optimizer.zero_grad(set_to_none=True)  # whatever the caller computed with the model before
    loss = torch.compile(model.loss, dynamic=False) if compile else model.loss
    identity = _identity(model, sampler, config, parts)
    with first_process_first():
        first, final_loss = load_progress(checkpoint, model, optimizer, identity) if checkpoint else (0, math.nan)
    check_same("what is trained", {**identity, "steps done": first})
    if rank() > 0:
        on_start = on_log = on_step = None
    if on_start:
        on_start(selection, first)
    own = partial(step_noise, everything=draws_by_itself(model))
    noise_of = partial(forked_noise, device=model.device) if compile else own
    meter, began, tokens = _Meter(), time.perf_counter(), 0
    for step in range(first, config.steps):
        batch = sampler.batch(step, rank(), size())
        seen = size() * batch.mask.numel() * model.tokens_per_step
        noise = noise_of(_noise_seed(sampler.seed, step))
        meter.add(*_update(model, loss, batch, optimizer, config, step, noise, precision), seen)
        tokens += seen
        if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
            values = meter.read(config.rate(step))
            final_loss = values["train/loss"]
            _check_finite(final_loss, step, config)
            if on_log:
                on_log(step + 1, values)
        # The last state too: whoever plays the model next and fails goes on from there without training again.
        if checkpoint and rank() == 0 and ((step + 1) % config.save_every == 0 or step + 1 == config.steps):
            save_progress(checkpoint, model, optimizer, identity, step + 1, final_loss)
        if on_step:
            on_step(step + 1)
    check_same("the weights after training", fingerprint(model) if size() > 1 else "")
    seconds = time.perf_counter() - began
    return FitResult(selection, final_loss, seconds, tokens / max(seconds, 1e-9))


def _update(
    model: PolicyModel,
    loss_of: Callable[[Batch, torch.dtype], tuple[Tensor, Tensor]],
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    noise: AbstractContextManager[None],
    precision: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the optimizer; returns sum and count of the loss, and the norm of the gradient before clipping.

    All three are of the whole batch, and so is the gradient: each process divides by the real tokens of all of them.
    """
    torch.clear_autocast_cache()  # inside an autocast of the caller's, it would still hold the weights of the last step
    with noise:
        loss, count = loss_of(_noisy(batch, model, config.state_noise), precision)
    add_up([count])
    (loss / count).backward()
    loss, trained = loss.detach(), [p for p in model.parameters() if p.requires_grad]
    add_up([loss, *(p.grad for p in trained if p.grad is not None)])
    norm = nn.utils.clip_grad_norm_(trained, config.clip)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, count, norm


def _noisy(batch: Batch, model: PolicyModel, amount: float) -> Batch:
    """The batch with noise on its states, that of this process's rows of the whole batch."""
    if not amount:
        return batch
    rows = len(batch.states)
    shape, device = (size() * rows, *batch.states.shape[1:]), batch.states.device
    noise = torch.randn(shape, dtype=torch.float32, device=device, generator=generator(device))
    deviation = torch.tensor(model.statistics.state_std, dtype=torch.float32, device=device)  # (S,)
    return replace(batch, states=batch.states + amount * deviation * noise[rank() * rows : (rank() + 1) * rows])


def _identity(model: PolicyModel, sampler: WindowSampler, config: TrainConfig, parts: list[str]) -> dict[str, object]:
    """What a saved state must agree on: with another trunk, seed or dataset it would be the state of another run."""
    run = {"config": asdict(config), "parts": list(parts), "start": fingerprint(model)}
    return {**run, "seed": sampler.seed, "data": sampler.content_hash}


def _noise_seed(seed: int, step: int) -> int:
    """One 63-bit number for (seed, step)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


def _check_finite(loss: float, step: int, config: TrainConfig) -> None:
    if not math.isfinite(loss):
        raise TransferError(
            f"the loss is {loss} at step {step + 1}. Lower the learning rate (lr={config.lr}) or check the data for "
            "extreme values; the last checkpoint is from before."
        )
