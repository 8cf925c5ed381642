"""The library's generators draw what torch draws from the same seed, and leave torch's own alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from transfer.adapters.states.state import StateGroup
from transfer.data.episodes import Episodes
from transfer.data.windows import WindowSampler
from transfer.models.sequence_model import TransferModel
from transfer.runtime.process import shapes_alone
from transfer.runtime.seeding import draws_by_itself, generator, seeded, step_noise
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

DRAWS: dict[str, Callable[[], Tensor]] = {
    "linear": lambda: nn.Linear(3, 2).weight.detach(),
    "embedding": lambda: nn.Embedding(3, 2).weight.detach(),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "truncated normal": lambda: nn.init.trunc_normal_(torch.empty(9)),
    "randn": lambda: torch.randn(5),
    "rand": lambda: torch.rand(2, 3),
    "rand_like": lambda: torch.rand_like(torch.ones(3)),
    "randperm": lambda: torch.randperm(7),
    "randint": lambda: torch.randint(2, 9, (4,)),
    "normal": lambda: torch.normal(torch.zeros(3), 1.0),
    "multinomial": lambda: torch.multinomial(torch.ones(5), 3),
    "dropout": lambda: F.dropout(torch.ones(50), 0.5),
    "attention": lambda: F.scaled_dot_product_attention(*torch.ones(3, 1, 4, 8), dropout_p=0.5),
}


@pytest.fixture
def make_model(make_model: Callable[..., TransferModel]) -> Callable[..., TransferModel]:
    """Models with windows of 5 steps."""
    return partial(make_model, context=5)


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_drawn_is_what_torch_draws_from_that_seed_and_its_own_generator_rests(name: str) -> None:
    torch.manual_seed(5)
    wanted = DRAWS[name]()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with step_noise(5, everything=True):
        assert torch.equal(DRAWS[name](), wanted)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [name for name in DRAWS if name not in ("randperm", "randint", "multinomial")])
def test_weights_are_the_same_float32_under_another_default_dtype(name: str) -> None:
    with seeded(7, "part"):
        wanted = DRAWS[name]()
    torch.set_default_dtype(torch.float64)
    try:
        with seeded(7, "part"):
            drawn = DRAWS[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    assert drawn.dtype == torch.float32 and torch.equal(drawn, wanted)


class Calls(TorchDispatchMode):
    """Records the names of torch's calls."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_shapes_alone_draw_no_numbers() -> None:
    """A draw on the device "meta" would import torch's compiler, which takes a second."""
    with Calls() as calls, shapes_alone(), seeded(0, "shapes"):
        made = nn.init.normal_(torch.empty(3, 2))
    assert made.is_meta and made.shape == (3, 2)
    assert "normal_" not in calls.names


def test_noise_ends_with_its_step() -> None:
    cpu = torch.device("cpu")
    with step_noise(5):
        inside = generator(cpu)
        assert inside is not None and generator(cpu) is inside
    assert generator(cpu) is None


class Noisy(StateGroup):
    """A user's own part with a dropout of torch."""

    def __init__(self, part: StateGroup) -> None:
        super().__init__()
        self.part, self.drop = part, nn.Dropout(0.3)

    def embed(self, values: Tensor, *given: Any) -> Tensor:
        drawn: Tensor = self.part(self.drop(values), *given)
        return drawn


def test_a_part_that_draws_by_itself_is_served_too(
    make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]
) -> None:
    def outcome(seed: int) -> list[Tensor]:
        model = make_model()
        model.adapter.state = Noisy(model.adapter.state)
        sampler = WindowSampler(make_episodes(), 5, 4, seed=0)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        fit(model, sampler, TrainConfig(steps=3, batch_size=4, context=5), ["state"], precision=torch.float32)
        assert draws_by_itself(model) and torch.equal(torch.get_rng_state(), before)
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(outcome(1), outcome(2), strict=True))


def test_the_library_s_own_parts_are_handed_their_generator(make_model: Callable[..., TransferModel]) -> None:
    assert not draws_by_itself(make_model(ia3=True, conditioning=True).train())
