"""A trunk arranged for reading a few tokens at a time, behind others whose keys and values it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.decoding.untouched import changed
from transfer.errors import TransferError
from transfer.models.trunk import Block, Gains, Trunk
from transfer.runtime import native
from transfer.runtime.layers.attention import causal_attention
from transfer.runtime.native.blocks import Blocks, Choices


@dataclass(frozen=True)
class _Layer:
    """Weights of a block, (in, out) each: one product for queries, keys and values; scale and gains multiplied in."""

    ln_1: tuple[Tensor, Tensor]
    qkv: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    ln_2: tuple[Tensor, Tensor]
    fc: tuple[Tensor, Tensor]
    proj: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, block: Block, gains: Gains | None) -> _Layer:
        attn, mlp = block.attn, block.mlp
        scale = (attn.q.in_features // attn.heads) ** -0.5
        weights = [attn.q.weight * scale, attn.k.weight, attn.v.weight]
        biases, proj = [attn.q.bias * scale, attn.k.bias, attn.v.bias], mlp.proj.weight
        if gains is not None:
            if gains.keys.dim() != 1:
                raise TransferError("a decoder takes one gain a feature, (D), not one a row, (B, D).")
            weights[1:] = [weights[1] * gains.keys[:, None], weights[2] * gains.values[:, None]]
            biases[1:] = [biases[1] * gains.keys, biases[2] * gains.values]
            proj = proj * gains.feed_forward
        return cls(
            _norm(block.ln_1),
            (_turned(torch.cat(weights)), torch.cat(biases)),
            (_turned(attn.o.weight), attn.o.bias.clone()),
            _norm(block.ln_2),
            (_turned(mlp.fc.weight), mlp.fc.bias.clone()),
            (_turned(proj), mlp.proj.bias.clone()),
        )

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of `Layer` in native/blocks.c."""
        return *self.ln_1, *self.qkv, *self.out, *self.ln_2, *self.fc, *self.proj


def _norm(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return norm.weight.clone(), norm.bias.clone()


def _turned(weight: Tensor) -> Tensor:
    return weight.t().clone(memory_format=torch.contiguous_format)


def in_kernels(trunk: Trunk) -> bool:
    """Whether decoders of this trunk read in the C kernels, each row by itself, instead of in PyTorch's operations."""
    weight, config = trunk.ln_in.weight, trunk.config
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and native.fits(config.width // config.heads)


class Changed(TransferError):
    """A decoder cannot read in place of a trunk; says why."""


class Decoder:
    """Reads the tokens of E sequences, each once, as `Trunk.forward` with a cache does, in fewer operations.

    Weights are copies: a decoder made before a training step goes on with those of then. Keys and values are written
    into memory that was laid out once. There is no dropout.

    Args:
        trunk: whose weights to read with.
        gains: IA3 scales, (D) each.
        rows: E.
        capacity: tokens that a sequence may have.

    Raises:
        Changed: something in the trunk is not as the library makes it; what that adds would be lost.
        TransferError: gains of single rows.
    """

    @torch.no_grad()
    def __init__(self, trunk: Trunk, gains: Sequence[Gains] | None, rows: int, capacity: int) -> None:
        if why := changed(trunk):
            raise Changed(why)
        self.heads, self.ends = trunk.config.heads, (*_norm(trunk.ln_in), *_norm(trunk.ln_out))
        self.eps = trunk.ln_in.eps
        self.layers = [_Layer.of(b, gains[i] if gains is not None else None) for i, b in enumerate(trunk.blocks)]  # type: ignore[arg-type]
        c, like = trunk.config, trunk.ln_in.weight
        ours = in_kernels(trunk)
        self.blocks = Blocks([layer.tensors() for layer in self.layers], self.ends, self.eps) if ours else None
        size = c.width // c.heads
        shape = (1, rows, c.heads, native.room(capacity), 2 * size) if ours else (2, rows, c.heads, capacity, size)
        self.past = like.new_zeros(c.depth, *shape)  # keys and values
        self.capacity, self.length = capacity, 0  # tokens that there is room for, and tokens read

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        In the last layer nothing but keys and values is computed of tokens whose hidden vector is not wanted.

        Raises:
            TransferError: more tokens than there is room for.
        """
        end, blocks = self._room_for(tokens.shape[1]), self.blocks
        hidden = blocks.read(tokens, self.past, self.length, wanted) if blocks else self._through(tokens, wanted)
        self.length = end
        return hidden

    def choose(self, tokens: Tensor, times: Tensor, choices: Choices) -> Tensor:
        """Append tokens (E, n, D), and those of all action dimensions but the last as they are chosen, one by one.

        A few sequences at a time, whose keys and values stay in the processor's cache from dimension to dimension.
        For trunks that are read `in_kernels`.

        Args:
            tokens: the last of them predicts the first dimension.
            times: (E, D), added to the dimensions' tokens.
            choices: how hidden vectors become values, and values tokens.

        Returns:
            actions (E, A).

        Raises:
            TransferError: more tokens than there is room for.
        """
        assert self.blocks is not None
        end = self._room_for(tokens.shape[1] + choices.size - 1)
        actions = self.blocks.choose(tokens, times, choices, self.past, self.length)
        self.length = end
        return actions

    def _room_for(self, tokens: int) -> int:
        """How many tokens there are with these."""
        end = self.length + tokens
        if end > self.capacity:
            raise TransferError(f"{end} tokens for a decoder with room for {self.capacity}.")
        return end

    def _through(self, tokens: Tensor, wanted: int) -> Tensor:
        """`read` in PyTorch's operations."""
        x = F.layer_norm(tokens, tokens.shape[-1:], *self.ends[:2], self.eps)
        for number, layer in enumerate(self.layers):
            x = self._block(x, number, layer, wanted if number + 1 == len(self.layers) else tokens.shape[1])
        return F.layer_norm(x, x.shape[-1:], *self.ends[2:], self.eps)

    def _block(self, x: Tensor, number: int, layer: _Layer, wanted: int) -> Tensor:
        """(E, n, D) -> (E, wanted, D)."""
        skipped, end, shape = x.shape[1] - wanted, self.length + x.shape[1], x.shape[-1:]
        qkv = _affine(F.layer_norm(x, shape, *layer.ln_1, self.eps), layer.qkv)  # (E, n, 3D)
        qkv = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, E, H, n, D/H)
        self.past[number, :, :, :, self.length : end] = qkv[1:]
        x = x[:, skipped:]
        if wanted:
            x = x + _affine(self._attend(qkv, number, skipped).transpose(1, 2).flatten(2), layer.out)
            x = x + _affine(F.gelu(_affine(F.layer_norm(x, shape, *layer.ln_2, self.eps), layer.fc)), layer.proj)
        return x

    def _attend(self, qkv: Tensor, number: int, skipped: int) -> Tensor:
        """Attention of the queries (E, H, n, D/H) behind those skipped, over all tokens read so far."""
        q, new = qkv[0, :, :, skipped:], qkv.shape[3]
        if not self.length and not skipped:
            return causal_attention(qkv[0], qkv[1], qkv[2], scale=1.0)
        keys, values = self.past[number, ..., : self.length + new, :].flatten(1, 2)  # (E * H, length + n, D/H) each
        scores = torch.bmm(q.flatten(0, 1), keys.transpose(1, 2))
        if q.shape[2] > 1:
            scores += scores.new_full(scores.shape[1:], float("-inf")).triu(1 + scores.shape[2] - q.shape[2])
        return torch.bmm(scores.softmax(-1), values).unflatten(0, q.shape[:2])

    def forget(self, length: int) -> None:
        """Go back to the first `length` tokens."""
        self.length = min(length, self.length)

    def select(self, rows: Tensor) -> None:
        """Go on with some sequences, (E,) boolean."""
        self.past = self.past[:, :, rows]


def _affine(x: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    weight, bias = layer
    return F.linear(x, weight.t(), bias)
