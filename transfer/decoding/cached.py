"""The maker of decoders in PyTorch, for every device: `Trunk.forward` behind a cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transfer.decoding.folding import Folded, folded
from transfer.models.trunk import Attention, Block, FeedForward, Trunk
from transfer.models.tuning import Affine, Tuning
from transfer.runtime.layers.cache import length_after
from transfer.runtime.process import inference_only

PIECES = (3, 1, 2, 1)  # tokens in which the beginning of a sequence is read to try a cache


class CachedDecoder:
    """A `transfer.decoding.decoder.Decoder` that reads through `Trunk.forward`, with a cache laid out once.

    The weights of an unchanged trunk are copied, with the tuning folded in. A changed trunk is called itself, with its
    hooks and replaced parts, and so is one whose tuning cannot be folded. Where a part computes something else behind a
    cache, the whole sequence is read each time.

    Args:
        trunk: in eval mode.
        tuning: of the trunk.
        sequences: E.
        capacity: most tokens of a sequence.
        plain: whether the trunk is unchanged, see `transfer.decoding.untouched`, and the tuning can be folded.
    """

    def __init__(self, trunk: Trunk, tuning: Tuning | None, sequences: int, capacity: int, plain: bool = True) -> None:
        self.plain, self.capacity, self.length = plain, capacity, 0
        self.trunk: Any = _bare_trunk(trunk, tuning) if plain else trunk
        self.tuning = None if plain else tuning
        cached, weight = plain or self._cacheable(), trunk.ln_in.weight
        self.cache = trunk.empty_cache(sequences, capacity, weight.dtype) if cached else None
        self.tokens = weight.new_empty(sequences, 0 if cached else capacity, len(weight))

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        Raises:
            TransferError: as `transfer.runtime.layers.cache.length_after`.
        """
        sequences, _, width = self.tokens.shape
        end = length_after(self.length, tokens, sequences, width, self.capacity)
        if self.cache is None:
            self.tokens[:, self.length : end] = tokens
            hidden, _ = self.trunk(self.tokens[:, :end], self.tuning)
        elif self.plain:
            hidden, self.cache = self.trunk(tokens, None, None, self.cache, partial(_last, wanted))
        else:
            hidden, self.cache = self.trunk(tokens, self.tuning, None, self.cache)
        self.length = end
        return _last(wanted, hidden)

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)
        if self.cache is not None:
            self.cache = self.cache.cut(self.length)

    def select(self, rows: Tensor) -> None:
        """Keep the sequences of some indices, (R,) int64; an index may come several times."""
        self.tokens = self.tokens[rows]
        self.cache = None if self.cache is None else self.cache.select(rows)

    @inference_only
    def _cacheable(self) -> bool:
        """Whether as many tokens as there is room for come out the same in pieces, each behind a cache, as in one.

        Some parts differ behind many tokens alone, as attention that looks at the newest hundred.
        """
        weight, size = self.trunk.ln_in.weight, max(self.capacity, sum(PIECES) + 2)
        angles = torch.arange(size * len(weight), dtype=weight.dtype, device=weight.device)
        tokens = angles.sin().view(1, -1, len(weight))
        cache, parts = self.trunk.empty_cache(1, size, weight.dtype), []
        try:
            whole, _ = self.trunk(tokens, self.tuning)
            for piece in tokens.split([*PIECES, size - sum(PIECES) - 1, 1], 1):
                hidden, cache = self.trunk(piece, self.tuning, None, cache)
                parts.append(hidden)
            return torch.allclose(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
        except Exception:  # whatever a part of somebody's own does with what it does not expect
            return False


class _Bare:
    """A module's forward over parts that are plain functions: calling a module costs as much as one token's product."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        self._forward = forward
        vars(self).update(parts)

    def __call__(self, *given: Any) -> Any:
        return self._forward(self, *given)


def _bare_trunk(trunk: Trunk, tuning: Tuning | None) -> Any:
    eps, heads, w = trunk.ln_in.eps, trunk.config.heads, folded(trunk, tuning)
    blocks = [_bare_block(block, heads, eps) for block in w.blocks]
    return _Bare(Trunk.forward, ln_in=_norm(w.ln_in, eps), drop=_same, blocks=blocks, ln_out=_norm(w.ln_out, eps))


def _bare_block(w: Folded, heads: int, eps: float) -> _Bare:
    attn = _Bare(Attention.forward, project=partial(_project, heads, _product(w.qkv)), o=_product(w.out))
    mlp = _Bare(FeedForward.forward, fc=_product(w.fc), proj=_product(w.proj))
    return _Bare(Block.forward, ln_1=_norm(w.ln_1, eps), attn=attn, ln_2=_norm(w.ln_2, eps), mlp=mlp, drop=_same)


def _project(heads: int, qkv: Callable[[Tensor], Tensor], x: Tensor, tuning: None, layer: int) -> tuple[Tensor, ...]:
    """`Attention.project` in one product."""
    return qkv(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def _product(affine: Affine) -> Callable[[Tensor], Tensor]:
    return partial(F.linear, weight=affine[0].t(), bias=affine[1])


def _norm(affine: Affine, eps: float) -> Callable[[Tensor], Tensor]:
    weight, bias = affine
    return partial(F.layer_norm, normalized_shape=weight.shape, weight=weight, bias=bias, eps=eps)


def _same(x: Tensor) -> Tensor:
    return x


def _last(wanted: int, x: Tensor) -> Tensor:
    """(E, n, D) -> (E, wanted, D)."""
    return x[:, x.shape[1] - wanted :]
