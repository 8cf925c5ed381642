"""The training loop, for pretraining and for adapting."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from transfer.data.windows import Batches, MixedWindows, WindowSampler
from transfer.errors import TransferError, check_type
from transfer.models.acting import Trainable, check_model
from transfer.models.freezing import Selection, train_only
from transfer.numbers import duration, flag
from transfer.runtime.devices import find_precision
from transfer.runtime.distributed import check_same, check_shares, rank, rank_0_first, size
from transfer.runtime.memory import kept_memory
from transfer.runtime.process import isolated
from transfer.runtime.seeding import draws_by_itself, forked_noise, step_noise
from transfer.storage.files import as_path
from transfer.storage.fingerprints import fingerprint
from transfer.training.callbacks import Callback, check_callbacks
from transfer.training.resume import first_not_finite, identity_of, load_progress, save_progress, state_of
from transfer.training.train_config import TrainConfig
from transfer.training.updates import Clock, Meter, check_weights, make_optimizer, noise_seed, rates_of, update

MAKE_SAMPLER = "Make one with WindowSampler(episodes, context, batch_size)."


@dataclass(frozen=True)
class FitResult:
    """The outcome of a training besides the weights."""

    selection: Selection
    final_loss: float
    seconds: float
    tokens_per_second: float

    def __str__(self) -> str:
        """As "12,345 of 678,910 parameters trained, loss 0.0123, 45 s"."""
        trained, total = self.selection.parameters, self.selection.total
        return f"{trained:,} of {total:,} parameters trained, loss {self.final_loss:.4g}, {duration(self.seconds)}"


@kept_memory()
@isolated()
def fit(
    model: Trainable,
    sampler: Batches,
    config: TrainConfig,
    parts: list[str],
    *,
    precision: torch.dtype | str | None = None,
    compile: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    any_context: bool = False,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train some parts of a model; everything else stays as it is, bit for bit.

    Dropout noise is a function of (seed, step), each window of (seed, step, its index): a run that resumes from its
    checkpoint ends in the same bytes as an unbroken one (same device and number of threads).

    In several connected processes (see `transfer.runtime.distributed`) each takes its block of the windows of every
    batch, sums and gradients are added up, and all end with the same weights. Only rank 0 calls back and saves.

    An adapter belongs to the weights of its trunk: after training the trunk, call `adapter.made_on(trunk)` for every
    adapter that goes with it, as `pretrain` and `adapt` do.

    The process keeps freed memory during the training, see `transfer.runtime.memory`. Loss, weights and moments are
    checked before each save and at the end, so only finite values are saved.

    Args:
        model: the model.
        sampler: of the windows, a `WindowSampler`, or `MixedWindows` for a `MixedModel`; its batch size and seed count.
        config: settings.
        parts: names of the parts that train, see `transfer.models.freezing.train_only`.
        precision: of the trunk's products: "float32", "bfloat16" or the dtype; None or "auto" chooses the faster one.
        compile: run forward and backward through `torch.compile`, which takes a minute or more at the first step. The
            noise comes from a fork of torch's own generators.
        checkpoint: folder for the states of the run, the last one too; a state that is there is resumed.
        any_context: accept windows of another number of steps than the model's context.
        callbacks: called at the start, after steps and at reports, in this order.

    Raises:
        TransferError: an argument of a wrong type, windows of other policies or of another length than a
            context, nothing
            selected, weights that are not float32, a loss or weights that are not finite, a callback that exchanges or
            unfreezes parts, a checkpoint of another run, a batch that the processes cannot share equally, processes
            that train different things.
    """
    check_model(getattr(model, "_orig_mod", model), Trainable, "fit")  # of torch.compile, which shares its weights
    check_type(sampler, (WindowSampler, MixedWindows), "sampler", MAKE_SAMPLER)
    check_type(config, TrainConfig, "config")
    called = check_callbacks(callbacks) if rank() == 0 else ()
    compile = flag(compile, "compile")
    check_shares(sampler.batch_size)
    _check_context(model, sampler, any_context)
    check_weights(model, "the model")
    selection = train_only(model, parts)
    for one in model.members().values():
        one.keep_calibration(None)  # it was measured with other weights
    dtype = find_precision(precision, model.device)
    folder = as_path(checkpoint, "checkpoint") if checkpoint is not None else None
    optimizer = make_optimizer(model, config)
    optimizer.zero_grad(set_to_none=True)  # gradients of the caller's own computations
    loss = torch.compile(model.loss, dynamic=False) if compile else model.loss
    settings = {
        "config": asdict(config) | _used(sampler),
        "parts": list(parts),
        "precision": str(dtype),
        "compile": compile,
    }
    identity = identity_of(model, sampler, settings)
    with rank_0_first():
        first, final_loss = (
            load_progress(folder, model, optimizer, identity, config.steps, called) if folder else (0, math.nan)
        )
    check_same("what is trained", {**identity, "steps done": first})
    for callback in called:
        callback.start(model, selection, first)
        if first and first % callback.every == 0:
            callback.step(first)
    methods = [one.method for one in model.members().values() if hasattr(one, "method")]
    own = partial(step_noise, everything=draws_by_itself(model, methods))
    noise_of = partial(forked_noise, device=model.device) if compile else own
    clock, tokens, saved = Clock(), 0, first
    meter = Meter(clock)
    for step in range(first, config.steps):
        batch, done = sampler.batch(step, rank(), size()), step + 1
        seen = size() * model.tokens(batch)
        noise = noise_of(noise_seed(sampler.seed, step))
        meter.add(*update(model, loss, batch, optimizer, config, step, noise, dtype), seen)
        tokens += seen
        if done % config.log_every == 0 or done == config.steps:
            values = meter.read(rates_of(optimizer), model.weighs())
            final_loss = values["train/loss"]
            if not math.isfinite(final_loss):
                raise _diverged(f"the loss is {final_loss}", done, config, folder, saved)
            with clock.paused():
                for callback in called:
                    callback.log(done, values)
        # The last state too: a run whose evaluation fails resumes from it without training again.
        if done % config.save_every == 0 or done == config.steps:
            if name := first_not_finite(state_of(model, optimizer)):
                raise _diverged(f"{name} holds NaN or infinity", done, config, folder, saved)
            if folder and rank() == 0:
                save_progress(folder, model, optimizer, identity, done, final_loss, called)
                saved = done
        with clock.paused():
            for callback in called:
                if done % callback.every == 0:
                    callback.step(done)
    check_same("the weights after training", fingerprint(model) if size() > 1 else "")
    seconds = clock.seconds()
    return FitResult(selection, final_loss, seconds, tokens / max(seconds, 1e-9))


def _check_context(model: Trainable, sampler: Batches, any_context: bool) -> None:
    """Raise TransferError where windows are of other policies, or of other lengths than their contexts."""
    members, contexts = model.members(), sampler.contexts()
    if set(members) != set(contexts):
        raise TransferError(
            f"the batches are for {_named(contexts)}, the model holds {_named(members)}. Give a MixedModel "
            "MixedWindows with the names of its adapters, any other model a WindowSampler."
        )
    for name, member in members.items():
        steps = contexts[name]
        if flag(any_context, "any_context") or member.stepwise or member.context == steps:
            continue
        raise TransferError(
            f"the windows{f' of {name}' if name else ''} have {steps} steps, the model acts on {member.context}: it "
            f"would act on other contexts than it was trained on. Make the adapter with context={steps} "
            f"(build_adapter), or windows of {member.context} steps, or pass any_context=True."
        )


def _used(sampler: Batches) -> dict[str, Any]:
    """The settings of windows as the sampler has them: those of the config are for whoever makes one."""
    contexts = sampler.contexts()
    alike = len(set(contexts.values())) == 1
    return {"batch_size": sampler.batch_size, "context": next(iter(contexts.values())) if alike else dict(contexts)}


def _named(names: Collection[str]) -> str:
    return ", ".join(name for name in names if name) or "one policy"


def _diverged(what: str, done: int, config: TrainConfig, folder: Path | None, saved: int) -> TransferError:
    """The error of a training with values that are not finite after `done` steps; `saved` is the last saved step."""
    rates = f"lr={config.lr:g}" + (f", adapter_lr={config.adapter_lr:g}" if config.adapter_lr else "")
    kept = f" The state of step {saved} stays in {folder}." if folder and saved else ""
    return TransferError(
        f"{what} at step {done}.{kept} Resuming a saved state takes the same steps again: train anew with a "
        f"lower learning rate ({rates}) or clip={config.clip:g}, or look for extreme values in the data."
    )
