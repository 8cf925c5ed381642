"""A training step of transformers.DecisionTransformerModel over one of our DT-layout model, on the same batch.

Both: Walker2d sizes, 3 tokens a step, equal width, depth, heads and context, linear embeddings, tanh on the actions,
dropout 0.1 on token vectors and residual branches; forward, squared error on real actions, backward, clipping of the
gradient's norm to 1, fused AdamW. Two ways of theirs:

    equal     GELU, attention weights not dropped, no key/value cache kept, no padding mask (padding is on the right,
              where a causal model does not look), tables of 3 T positions and 1000 times: what our model computes
    shipped   its own defaults otherwise: ReLU, attention weights dropped with 0.1, cache kept, padding mask given,
              tables of 1024 positions and 4096 times

Theirs computes predictions of the next state and return besides, which no loss uses; ours a linear map of the sinusoids
of time, where theirs has a table.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.measuring.measure import Row, Skip, interleave
from benchmarks.measuring.models import DEPTH, FULL, HEAD, LAYOUTS, WHOLE, Size, batch_of, build, training_step
from transfer.data.batch import Batch
from transfer.runtime.devices import best_precision
from transfer.runtime.memory import kept_memory
from transfer.training.train_config import TrainConfig
from transfer.training.updates import make_optimizer

LAYOUT = "Walker2d"


@kept_memory()
def rows(size: Size) -> list[Row]:
    """Three in float32 and the default precision each: theirs equal, and as shipped, over ours."""
    try:
        from transformers import DecisionTransformerModel  # noqa: F401
    except ImportError as error:
        raise Skip(f"transformers cannot be imported ({error}). pip install 'embedding-swap[bench]'") from error
    batch = batch_of(LAYOUT, size)
    default = best_precision(torch.device("cpu"))
    precisions = {str(p).removeprefix("torch."): p for p in (torch.float32, default)}
    ways: dict[str, Callable[[], object]] = {}
    for name, precision in precisions.items():
        ways[f"ours {name}"] = training_step(build(LAYOUT, size.width, WHOLE, "linear"), batch, FULL, precision)
        ways[f"equal {name}"] = their_step(their_model(size, shipped=False), batch, False, precision)
        ways[f"shipped {name}"] = their_step(their_model(size, shipped=True), batch, True, precision)
    times = interleave(ways, size.repeats)
    pairs = [(kind, name, name) for name in precisions for kind in ("equal", "shipped")]
    if default != torch.float32:
        pairs.append(("equal", "float32", str(default).removeprefix("torch.")))
    return [_row(f"{kind} {theirs}", f"ours {ours}", times) for kind, theirs, ours in pairs]


def _row(theirs: str, ours: str, times: dict[str, list[float]]) -> Row:
    values = {"theirs, ms": 1e3 * statistics.median(times[theirs]), "ours, ms": 1e3 * statistics.median(times[ours])}
    return Row(f"{theirs} over {ours}", times[theirs], times[ours], values=values)


def their_model(size: Size, shipped: bool) -> Any:
    """DecisionTransformerModel with random weights, in training mode."""
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

    _, state_size, action_size = LAYOUTS[LAYOUT]
    equal = {
        "activation_function": "gelu",
        "attn_pdrop": 0.0,
        "use_cache": False,
        "n_positions": 3 * size.context,
        "max_ep_len": 1000,
    }
    config = DecisionTransformerConfig(
        state_dim=state_size,
        act_dim=action_size,
        hidden_size=size.width,
        n_layer=DEPTH,
        n_head=max(1, size.width // HEAD),
        resid_pdrop=0.1,
        embd_pdrop=0.1,
        bos_token_id=None,
        eos_token_id=None,
        **({} if shipped else equal),
    )
    torch.manual_seed(0)
    return DecisionTransformerModel(config).train()


def their_step(model: Any, batch: Batch, padding_mask: bool, precision: torch.dtype) -> Callable[[], object]:
    """One update, as ours in `transfer.training.fit`."""
    config, real = TrainConfig(), batch.mask[..., None]
    optimizer = make_optimizer(model, config)

    def step() -> None:
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            predicted = model(
                states=batch.states,
                actions=batch.actions,
                returns_to_go=batch.column("returns")[..., None],
                timesteps=batch.times,
                attention_mask=batch.mask.long() if padding_mask else None,
            ).action_preds
        error = (predicted.float() - batch.actions).square() * real
        (error.sum() / (real.sum() * batch.actions.shape[-1])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
