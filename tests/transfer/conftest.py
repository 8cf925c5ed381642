"""Small data, trunks, adapters and environments for the tests of the core."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds import config_of
from tests.lively import enliven
from transfer.adapters.build import build_adapter
from transfer.data.batch import Batch
from transfer.data.environment.spec import EnvironmentSpec
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.modes import new_trunk

SMALL = TrunkConfig(width=16, depth=2, heads=2)
SIZES = {"Hopper-v5": (11, 3), "Walker2d-v5": (17, 6), "HalfCheetah-v5": (17, 6)}
ACTIONS = (
    "ActionEmbedding",
    "ActionTokenizedEmbedding",
    "ActionSpreadEmbedding",
    "ActionTokenizedSpreadEmbedding",
)


@pytest.fixture(params=ACTIONS)
def action(request: pytest.FixtureRequest) -> str:
    """Each of the four action embeddings."""
    return str(request.param)


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    """make_episodes("Hopper-v5", lengths=(9, 4, 15, 2), seed=0): random steps, some actions saturated."""

    def make(env: str = "Hopper-v5", lengths: tuple[int, ...] = (9, 4, 15, 2), seed: int = 0) -> Episodes:
        rng, steps = np.random.default_rng(seed), sum(lengths)
        state_size, action_size = SIZES[env]
        states = rng.normal(1.0, 2.0, (steps, state_size))
        actions = np.clip(rng.normal(0.0, 0.8, (steps, action_size)), -1, 1)
        return Episodes.from_arrays(states, actions, rng.uniform(0, 3, steps), lengths, env, name=f"test/{env}")

    return make


@pytest.fixture
def make_trunk() -> Callable[..., Trunk]:
    """make_trunk(seed=0, lively=True, **sizes): a trunk of width 16 and depth 2, in eval mode."""

    def make(seed: int = 0, lively: bool = True, **sizes: Any) -> Trunk:
        trunk = new_trunk(replace(SMALL, **sizes), seed)
        if lively:
            enliven(trunk, seed)
        return trunk.eval()

    return make


@pytest.fixture
def make_adapter(make_episodes: Callable[..., Episodes]) -> Callable[..., Adapter]:
    """make_adapter("Hopper-v5", seed=0, trunk, ia3, conditioning, lively=True, context=20, **kinds of parts)."""

    def make(
        env: str = "Hopper-v5",
        seed: int = 0,
        trunk: Trunk | None = None,
        ia3: bool = False,
        conditioning: bool = False,
        lively: bool = True,
        context: int = 20,
        **kinds: Any,
    ) -> Adapter:
        sizes = trunk.config if trunk is not None else SMALL
        own = ("return",) if conditioning else ()
        config = config_of(**{"bins": 8, **kinds})
        adapter = build_adapter(make_episodes(env), sizes, config, seed, own=own, tuning=ia3, context=context)
        if lively:
            enliven(adapter, seed)
        if trunk is not None:
            adapter.made_on(trunk)
        return adapter.eval()

    return make


@pytest.fixture
def make_model(make_trunk: Callable[..., Trunk], make_adapter: Callable[..., Adapter]) -> Callable[..., TransferModel]:
    """make_model("Hopper-v5", 0, width=16, **options of make_adapter): a lively trunk with an adapter, in eval mode."""

    def make(env: str = "Hopper-v5", seed: int = 0, width: int = SMALL.width, **options: Any) -> TransferModel:
        trunk = make_trunk(seed, width=width)
        return TransferModel(trunk, make_adapter(env, seed, trunk, **options)).eval()

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """make_batch(model, rows=3, steps=5, seed=0): windows of random steps, none of them padded."""

    def make(model: TransferModel, rows: int = 3, steps: int = 5, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        spec = model.env_spec
        return Batch(
            states=torch.randn(rows, steps, spec.state_size, generator=generator) * 2 + 1,
            actions=(torch.randn(rows, steps, spec.action_size, generator=generator) * 0.8).clamp(-1, 1),
            columns={"returns": torch.rand(rows, steps, generator=generator) * 2 * spec.reference.span},
            rewards=torch.zeros(rows, steps),
            times=torch.arange(steps).repeat(rows, 1) + torch.arange(rows)[:, None] * 7,
            mask=torch.ones(rows, steps, dtype=torch.bool),
        )

    return make


@pytest.fixture(params=["at once", "one by one", "PyTorch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way of decoding: all dimensions in one call of a kernel, a call for each, and without kernels."""
    if request.param == "PyTorch":
        monkeypatch.setattr("transfer.runtime.native.fits", lambda size: False)
    else:
        request.getfixturevalue("kernels")
    if request.param == "one by one":
        monkeypatch.setattr("transfer.decoding.planner.native_choice", lambda *given: None)
    return str(request.param)


@pytest.fixture
def short() -> Callable[..., EnvironmentSpec]:
    """short("hopper", 12): the real environment, with episodes of at most 12 steps."""
    return lambda name, steps: replace(environment(name), max_episode_steps=steps)


class Countdown:
    """An environment of Hopper's sizes whose episodes last `seed % 5 + 2` steps and pay 1 a step.

    It refuses to be stepped once an episode is over. The episode of seed `lucky` alone tells of success.
    """

    lucky = -1

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.actions: list[np.ndarray] = []
        self.left, self.closed = 0, False
        self.action_space = type(
            "Box", (), {"low": np.full(3, -0.875, np.float32), "high": np.full(3, 0.75, np.float32)}
        )

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.seeds.append(seed)
        self.left = seed % 5 + 2
        return np.full(11, float(self.left)), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.left > 0, "stepped after the end of its episode"
        self.actions.append(action)
        self.left -= 1
        info = {"success": True} if self.seeds[-1] == self.lucky else {}
        return np.full(11, float(self.left)), 1.0, self.left == 0, False, info

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def countdowns(monkeypatch: pytest.MonkeyPatch) -> list[Countdown]:
    """Every environment that is built in the test is a `Countdown`, and is put into this list."""
    made: list[Countdown] = []

    def make(self: EnvironmentSpec, **options: Any) -> Countdown:
        made.append(Countdown())
        return made[-1]

    monkeypatch.setattr(EnvironmentSpec, "make", make)
    return made
