"""Choosing actions in the kernel, from more bins than a stack has room for."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from transfer.decoding.decoder import make_decoder
from transfer.decoding.tables import ActionTables
from transfer.models.trunk import Trunk
from transfer.runtime.native.blocks import Blocks, Choices

BINS = 200_000


@pytest.mark.usefixtures("kernels")
def test_logits_of_many_bins_need_no_stack(make_trunk: Callable[..., Trunk]) -> None:
    """They would be 800 KB of it; the thread here has 256."""
    trunk, centers = make_trunk(width=32), torch.linspace(-1, 1, BINS)[None]
    weights = torch.randn(1, BINS, 32, generator=torch.Generator().manual_seed(0)) * 0.1
    rows = torch.zeros(1, BINS, 32)
    choices = Choices(*ActionTables(centers[:, 1:], rows, None, weights, torch.zeros(1, BINS), centers))
    tokens, decoder, chosen = torch.randn(1, 2, 32), make_decoder(trunk, None, 1, 8), list[Tensor]()
    assert isinstance(decoder, Blocks)
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: chosen.append(decoder.choose(tokens, torch.zeros(1, 1, 32), choices)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    with torch.no_grad():
        shares = (weights[0] @ make_decoder(trunk, None, 1, 8).read(tokens)[0, 0]).softmax(0)
    torch.testing.assert_close(chosen[0][0, 0], shares @ centers[0], atol=1e-4, rtol=1e-3)
