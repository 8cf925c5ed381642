"""Reading a few tokens at a time equals `Trunk.forward` over all of them."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.lively import some_ia3
from transfer.adapters.tuning.ia3 import IA3
from transfer.decoding.cached import CachedDecoder
from transfer.decoding.decoder import make_decoder, slow
from transfer.errors import TransferError
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.runtime.native.blocks import Blocks


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(params=["C", "PyTorch"])
def trunk(request: pytest.FixtureRequest) -> Trunk:
    """With heads of a size that the kernels take, and where there are none."""
    if request.param == "C":
        request.getfixturevalue("kernels")
    else:
        request.getfixturevalue("monkeypatch").setattr("transfer.runtime.native.fits", lambda size: False)
    torch.manual_seed(0)
    trunk = Trunk(TrunkConfig(width=32, depth=3, heads=2)).eval()
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter += 0.05 * torch.randn_like(parameter)  # biases and LayerNorms too
    assert isinstance(make_decoder(trunk, None, 1, 1), Blocks if request.param == "C" else CachedDecoder)
    return trunk


@pytest.mark.parametrize("pieces", [(1,) * 40, (3, 37), (40,), (2, 1, 13, 1, 20, 3)])
@pytest.mark.parametrize("scaled", [True, False])
def test_hidden_vectors_are_the_trunks(trunk: Trunk, pieces: tuple[int, ...], scaled: bool) -> None:
    tuning, tokens = some_ia3(32, 3) if scaled else None, torch.randn(5, 40, 32)
    whole, _ = trunk(tokens, tuning)
    decoder, end = make_decoder(trunk, tuning, 5, 40), 0
    for piece in pieces:
        end += piece
        read = decoder.read(tokens[:, end - piece : end], wanted=piece)
        torch.testing.assert_close(read, whole[:, end - piece : end], atol=1e-5, rtol=1e-5)


def test_what_is_not_wanted_is_read_all_the_same(trunk: Trunk) -> None:
    tokens = torch.randn(2, 6, 32)
    decoder = make_decoder(trunk, None, 2, 6)
    assert decoder.read(tokens[:, :3], 0).shape == (2, 0, 32)
    torch.testing.assert_close(decoder.read(tokens[:, 3:], 1), trunk(tokens)[0][:, -1:], atol=1e-5, rtol=1e-5)


def test_forgotten_tokens_leave_no_trace(trunk: Trunk) -> None:
    tokens = torch.randn(2, 5, 32)
    decoder = make_decoder(trunk, None, 2, 5)
    first = decoder.read(tokens[:, :3])
    decoder.read(torch.randn(2, 2, 32))
    decoder.forget(3)
    torch.testing.assert_close(decoder.read(tokens[:, 3:]), trunk(tokens)[0][:, -1:], atol=1e-5, rtol=1e-5)
    decoder.forget(0)
    assert torch.equal(decoder.read(tokens[:, :3]), first)


@pytest.mark.parametrize("rows", [[0, 3], [2, 0, 3, 1], [1, 1, 3, 1, 0], [2]])
def test_sequences_are_dropped_reordered_and_forked(trunk: Trunk, rows: list[int]) -> None:
    tokens, rows = torch.randn(4, 5, 32), torch.tensor(rows)  # type: ignore[assignment]
    decoder = make_decoder(trunk, None, 4, 5)
    decoder.read(tokens[:, :4])
    decoder.select(rows)
    torch.testing.assert_close(decoder.read(tokens[rows, 4:]), trunk(tokens)[0][rows, -1:], atol=1e-5, rtol=1e-5)


def test_more_tokens_than_room_are_refused_before_anything_is_written(trunk: Trunk) -> None:
    tokens = torch.randn(1, 4, 32)
    decoder = make_decoder(trunk, None, 1, 4)
    decoder.read(tokens[:, :3])
    with pytest.raises(TransferError, match="5 tokens for a decoder with room for 4"):
        decoder.read(torch.randn(1, 2, 32))
    torch.testing.assert_close(decoder.read(tokens[:, 3:]), trunk(tokens)[0][:, -1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 2, 32), (4, 2, 32), (3, 2, 64), (3, 2, 1)])
def test_tokens_of_other_sequences_or_widths_are_refused(trunk: Trunk, shape: tuple[int, ...]) -> None:
    """C would write beyond its memory; PyTorch would spread one environment's tokens over all."""
    tokens = torch.randn(3, 4, 32)
    decoder = make_decoder(trunk, None, 5, 4)
    decoder.select(torch.tensor([0, 2, 4]))
    with pytest.raises(TransferError, match=f"tokens of {shape[0]} environments and width {shape[2]} .* of 3 and 32"):
        decoder.read(torch.randn(shape))
    torch.testing.assert_close(decoder.read(tokens, 4), trunk(tokens)[0], atol=1e-5, rtol=1e-5)


class Stubborn(IA3):
    """Cannot be folded."""

    def fold(self, *args: Any) -> Any:
        return None


def test_a_tuning_that_cannot_be_folded_stays_beside_the_trunk(trunk: Trunk, caplog: pytest.LogCaptureFixture) -> None:
    stubborn, tokens = Stubborn(32, 3), torch.randn(2, 4, 32)
    stubborn.load_state_dict(some_ia3(32, 3).state_dict())
    decoder = make_decoder(trunk, stubborn, 2, 4)
    assert isinstance(decoder, CachedDecoder) and decoder.tuning is stubborn
    torch.testing.assert_close(decoder.read(tokens, 4), trunk(tokens, stubborn)[0], atol=1e-5, rtol=1e-5)
    assert "Stubborn cannot be folded into weights" in slow(trunk, stubborn)


def test_nothing_is_dropped_even_while_the_trunk_trains(trunk: Trunk) -> None:
    tokens = torch.randn(3, 4, 32)
    whole, _ = trunk(tokens)
    torch.testing.assert_close(make_decoder(trunk.train(), None, 3, 4).read(tokens, 4), whole, atol=1e-5, rtol=1e-5)


def test_a_tuning_is_folded_into_weights_of_its_own(trunk: Trunk) -> None:
    tuning, tokens = some_ia3(32, 3), torch.randn(2, 4, 32)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    wanted, decoder = trunk(tokens, tuning)[0], make_decoder(trunk, tuning, 2, 4)
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    for parameter in trunk.parameters():
        parameter.add_(1.0)  # biases and norms too
    torch.testing.assert_close(decoder.read(tokens, 4), wanted, atol=1e-5, rtol=1e-5)


def test_threads_share_the_sequences_and_change_no_bit(trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, found = torch.randn(7, 9, 32), []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr("transfer.runtime.native.blocks.WORTH_A_THREAD", 1)
        decoder = make_decoder(trunk, None, 7, 9)
        found.append(torch.cat([decoder.read(part) for part in tokens.split([5, 1, 3], 1)], 1))
    assert torch.equal(*found)


def test_memory_that_was_never_written_is_never_read(trunk: Trunk) -> None:
    tokens = torch.randn(2, 6, 32)
    decoder = make_decoder(trunk, None, 2, 6)
    decoder.read(torch.full((2, 6, 32), 1e30))
    decoder.forget(0)
    read = torch.cat([decoder.read(part, part.shape[1]) for part in tokens.split([4, 2], 1)], 1)
    torch.testing.assert_close(read, trunk(tokens)[0], atol=1e-5, rtol=1e-5)
