"""A trunk arranged for reading a few tokens at a time, behind others whose keys and values it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer.attention import causal_attention
from transfer.errors import TransferError
from transfer.linear import Linear
from transfer.trunk import Block, Gains, Trunk


@dataclass(frozen=True)
class _Layer:
    """Weights of a block: one product for queries, keys and values; the scale of queries and gains multiplied in."""

    ln_1: nn.LayerNorm
    qkv: tuple[Tensor, Tensor]
    out: nn.Linear
    ln_2: nn.LayerNorm
    fc: nn.Linear
    proj: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, block: Block, gains: Gains | None) -> _Layer:
        q, k, v = block.attn.q, block.attn.k, block.attn.v
        for name, part in (("q", q), ("k", k), ("v", v), ("proj", block.mlp.proj)):
            if type(part) is not Linear:
                raise TransferError(
                    f"'{name}' of the trunk is a {type(part).__name__}, a decoder reads Linear only."
                )
        scale = (q.in_features // block.attn.heads) ** -0.5
        weights = [q.weight * scale, k.weight, v.weight]
        biases, proj = [q.bias * scale, k.bias, v.bias], block.mlp.proj.weight
        if gains is not None:
            if gains.keys.dim() != 1:
                raise TransferError("a decoder takes one gain a feature, (D), not one a row, (B, D).")
            weights[1:] = [weights[1] * gains.keys[:, None], weights[2] * gains.values[:, None]]
            biases[1:] = [biases[1] * gains.keys, biases[2] * gains.values]
            proj = proj * gains.feed_forward
        joined = torch.cat(weights), torch.cat(biases)
        return cls(block.ln_1, joined, block.attn.o, block.ln_2, block.mlp.fc, (proj, block.mlp.proj.bias))


class Decoder:
    """Reads the tokens of E sequences, each once, as `Trunk.forward` with a cache does, in fewer operations.

    Joined weights are copies: a decoder made before a training step goes on with those of then. Keys and values are
    written into memory that was laid out once. There is no dropout.

    Args:
        trunk: whose weights to read with.
        gains: IA3 scales, (D) each.
        rows: E.
        capacity: tokens that a sequence may have.

    Raises:
        TransferError: gains of single rows, or layers that something was wrapped around: what it adds would be lost.
    """

    @torch.no_grad()
    def __init__(self, trunk: Trunk, gains: Sequence[Gains] | None, rows: int, capacity: int) -> None:
        self.heads, self.ln_in, self.ln_out = trunk.config.heads, trunk.ln_in, trunk.ln_out
        self.layers = [_Layer.of(b, gains[i] if gains is not None else None) for i, b in enumerate(trunk.blocks)]  # type: ignore[arg-type]
        c = trunk.config
        self.past = trunk.ln_in.weight.new_empty(c.depth, 2, rows, c.heads, capacity, c.width // c.heads)
        self.length = 0  # tokens read

    def read(self, tokens: Tensor, wanted: int = 1) -> Tensor:
        """Append tokens (E, n, D); returns the hidden vectors of the last of them, (E, wanted, D).

        In the last layer nothing but keys and values is computed of tokens whose hidden vector is not wanted.

        Raises:
            TransferError: more tokens than there is room for.
        """
        end = self.length + tokens.shape[1]
        if end > self.past.shape[4]:
            raise TransferError(f"{end} tokens for a decoder with room for {self.past.shape[4]}.")
        x = self.ln_in(tokens)
        for number, layer in enumerate(self.layers):
            last = wanted if number + 1 == len(self.layers) else tokens.shape[1]
            x = self._block(x, number, layer, last)
        self.length = end
        return self.ln_out(x)

    def _block(self, x: Tensor, number: int, layer: _Layer, wanted: int) -> Tensor:
        """(E, n, D) -> (E, wanted, D)."""
        skipped, end = x.shape[1] - wanted, self.length + x.shape[1]
        qkv = F.linear(layer.ln_1(x), *layer.qkv).unflatten(-1, (3, self.heads, -1))  # (E, n, 3, H, D/H)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, E, H, n, D/H)
        self.past[number, :, :, :, self.length : end] = qkv[1:]
        x = x[:, skipped:]
        if wanted:
            x = x + layer.out(self._attend(qkv, number, skipped).transpose(1, 2).flatten(2))
            x = x + F.linear(F.gelu(layer.fc(layer.ln_2(x))), *layer.proj)
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
