"""The library computes the same under any settings of the caller's process, and changes none."""

import copy
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.kinds import config_of
from tests.toys import toy
from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.evaluation.calibration import calibrate
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.models.acting import PolicyModel
from transfer.models.mixed_model import MixedModel
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.training.train_config import TrainConfig

MakeEpisodes = Callable[..., Episodes]
Outcome = dict[str, Any]
CONFIG = TrainConfig(steps=6, batch_size=4, context=5, lr=0.01, state_noise=0.1, log_every=2, save_every=2)
TRUNK = TrunkConfig(width=16, depth=2, heads=2, dropout=0.2)
ADAPTER = config_of(bins=8)


def bytes_of(model: nn.Module) -> dict[str, bytes]:
    """Every parameter and buffer of a model, with its dtype."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {f"{name} {t.dtype}": t.detach().view(-1).view(torch.uint8).numpy().tobytes() for name, t in state.items()}


def train(episodes: dict[str, Episodes], seed: int = 3, precision: torch.dtype = torch.float32) -> Outcome:
    """A pretrained trunk, an adapter around it, a control, and their losses."""
    shared: dict[str, Any] = {"config": CONFIG, "adapter_config": ADAPTER, "seed": seed, "precision": precision}
    source = pretrain(episodes["hopper"], trunk_config=TRUNK, **shared)
    results = [
        source,
        *(adapt(source.trunk, episodes["walker"], m, **shared) for m in ("full", "embeddings+ia3", "mlp")),
    ]
    return {"weights": [bytes_of(r.model) for r in results], "losses": [r.fit.final_loss for r in results]}


@pytest.fixture(scope="module")
def episodes() -> dict[str, Episodes]:
    """Random steps of two bodies."""

    def make(env: str, states: int, actions: int) -> Episodes:
        rng, lengths = np.random.default_rng(0), (9, 4, 15, 8)
        steps = sum(lengths)
        taken = np.clip(rng.normal(0, 0.8, (steps, actions)), -1, 1)
        return Episodes.from_arrays(rng.normal(1, 2, (steps, states)), taken, rng.uniform(0, 3, steps), lengths, env)

    return {"hopper": make("Hopper-v5", 11, 3), "walker": make("Walker2d-v5", 17, 6)}


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def fresh(request: pytest.FixtureRequest, episodes: dict[str, Episodes]) -> tuple[torch.dtype, Outcome]:
    """The outcome under default settings."""
    return request.param, train(episodes, precision=request.param)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def without_stderr(stream: Any) -> Iterator[None]:
    before, sys.stderr = sys.stderr, stream
    try:
        yield
    finally:
        sys.stderr = before


@contextmanager
def without_home() -> Iterator[None]:
    before = dict(os.environ)
    for name in ("HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def handled_signals() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def closed_stream() -> Any:
    stream = open(os.devnull, "w")  # noqa: SIM115 (closed on purpose)
    stream.close()
    return stream


@contextmanager
def moved_generators() -> Iterator[None]:
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    yield


@contextmanager
def poisoned_autocast() -> Iterator[None]:
    """An autocast whose cache of weights is not empty."""
    with torch.autocast("cpu", torch.bfloat16):
        nn.Linear(4, 4)(torch.ones(4))
        yield


@contextmanager
def raised_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


PROCESSES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": poisoned_autocast,
    "autocast float16": lambda: torch.autocast("cpu", torch.float16),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64 by default": lambda: default_dtype(torch.float64),
    "float16 by default": lambda: default_dtype(torch.float16),
    "another device by default": lambda: torch.device("meta"),
    "other random numbers": moved_generators,
    "anomaly mode": torch.autograd.detect_anomaly,
    "deterministic algorithms": deterministic,
    "NumPy's errors raised": lambda: np.errstate(all="raise"),
    "warnings raised": raised_warnings,
    "no stderr": lambda: without_stderr(None),
    "stderr closed": lambda: without_stderr(closed_stream()),
    "no home": without_home,
    "signals handled": handled_signals,
}


def settings() -> list[Any]:
    """The settings of torch, NumPy and Python in this thread."""
    generators = [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]
    modes = [torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")]
    kinds = [torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), sys.stderr]
    return [*generators, *modes, *kinds, torch.is_autocast_cache_enabled(), torch.get_autocast_dtype("cpu")]


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("name", PROCESSES)
def test_training_computes_what_it_does_in_a_fresh_process_and_changes_no_setting(
    name: str, episodes: dict[str, Episodes], fresh: tuple[torch.dtype, Outcome]
) -> None:
    precision, wanted = fresh
    with PROCESSES[name]():
        before = settings()
        result = train(episodes, precision=precision)
        assert settings() == before
    assert result == wanted


def test_threads_train_what_runs_one_after_the_other_do(episodes: dict[str, Episodes]) -> None:
    seeds, before = range(4), torch.get_rng_state()
    in_turn = [train(episodes, seed) for seed in seeds]
    start = threading.Barrier(len(seeds))

    def together(seed: int) -> Outcome:
        start.wait()
        return train(episodes, seed)

    with ThreadPoolExecutor(len(seeds)) as pool:
        assert list(pool.map(together, seeds)) == in_turn
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module", params=["kernels", "PyTorch"])
def models(request: pytest.FixtureRequest) -> Iterator[dict[str, PolicyModel]]:
    """A policy of each kind for a toy of two actions in [-2, 2], in every way of decoding."""
    rng, spec = np.random.default_rng(0), toy(3, 2, -2.0, 2.0)
    data = Episodes.from_arrays(
        rng.normal(size=(30, 3)), rng.uniform(-2, 2, (30, 2)), rng.normal(size=30), (15, 15), spec
    )
    trunk = new_trunk(TrunkConfig(width=32, depth=2, heads=2), 0)
    kinds = {kind: config_of(kind, bins=8) for kind in ("ActionTokenizedSpreadEmbedding", "ActionEmbedding")}
    made: dict[str, PolicyModel] = {
        kind: TransferModel(trunk, build_adapter(data, trunk.config, config, tuning=True, context=4))
        for kind, config in kinds.items()
    }
    made["mlp"] = MLPPolicy(data.env_spec, measure(data), 8)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "PyTorch":
            patch.setattr("transfer.runtime.native.fits", lambda size: False)
        yield made


def play(models: dict[str, PolicyModel], episodes: int = 9) -> Outcome:
    """Outcomes of evaluations alone and together, calibrations, and loops over `Policy.act`."""
    results = {name: evaluate(model, num_episodes=episodes, target_return=-3) for name, model in models.items()}
    adapters = {name: model.adapter for name, model in models.items() if isinstance(model, TransferModel)}
    mixed = MixedModel(next(m.trunk for m in models.values() if isinstance(m, TransferModel)), adapters)
    results |= {f"{name} together": one for name, one in evaluate_together(mixed, 3).items()}
    outcome: Outcome = {name: (one.to_json(), one.actions.tobytes()) for name, one in results.items()}
    for name, model in models.items():
        policy = model.policy(target_return=-3)
        acted = [policy.act(np.full(3, t), -1.0 if t else None) for t in range(6)]
        outcome[f"{name} alone"] = np.stack(acted).tobytes(), calibrate(copy.deepcopy(model), [-2.0, -1.0], 2).to_json()
    return outcome


@pytest.fixture(scope="module")
def played(models: dict[str, PolicyModel]) -> Outcome:
    return play(models)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("name", PROCESSES)
def test_evaluation_plays_what_it_does_in_a_fresh_process_and_changes_no_setting(
    name: str, models: dict[str, PolicyModel], played: Outcome
) -> None:
    with PROCESSES[name]():
        before = settings()
        result = play(models)
        assert settings() == before
    assert result == played


def test_threads_play_what_runs_one_after_the_other_does(models: dict[str, PolicyModel], played: Outcome) -> None:
    start = threading.Barrier(3)

    def together(_: int) -> Outcome:
        start.wait()
        return play(models)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(together, range(3))) == [played] * 3


def test_the_number_of_threads_may_change_in_an_episode(models: dict[str, PolicyModel]) -> None:
    for model in models.values():
        policies = [model.policy(target_return=-3) for _ in range(2)]
        try:
            for t in range(9):
                seen = np.full(3, t), -1.0 if t else None
                alone = policies[0].act(*seen)
                torch.set_num_threads(1 + t % 3)
                np.testing.assert_allclose(policies[1].act(*seen), alone, atol=1e-5)
                torch.set_num_threads(1)
        finally:
            torch.set_num_threads(1)


def test_threads_adapt_around_one_trunk(episodes: dict[str, Episodes]) -> None:
    """The first to end must not unfreeze the trunk for the others."""
    trunk = pretrain(episodes["hopper"], config=CONFIG, trunk_config=TRUNK, adapter_config=ADAPTER).trunk.train()
    steps = (3, 40, 41)
    start = threading.Barrier(len(steps))

    def adapted(count: int, wait: bool = False) -> dict[str, bytes]:
        if wait:
            start.wait()
        config = replace(CONFIG, steps=count)
        result = adapt(
            trunk, episodes["walker"], "embeddings", config=config, adapter_config=ADAPTER, precision="float32"
        )
        assert result.model.trunk is trunk and all(p.grad is None for p in trunk.parameters())
        return bytes_of(result.adapter)

    in_turn = [adapted(count) for count in steps]
    with ThreadPoolExecutor(len(steps)) as pool:
        assert list(pool.map(lambda count: adapted(count, wait=True), steps)) == in_turn
    assert all(p.requires_grad for p in trunk.parameters()) and trunk.training
