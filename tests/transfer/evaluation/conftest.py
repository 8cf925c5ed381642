"""Evaluations of environments of a class that a test chooses."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.transfer.evaluation.plain import Plain
from transfer.data.environment.spec import EnvironmentSpec
from transfer.evaluation.evaluate import evaluate, evaluate_together
from transfer.evaluation.outcome import Evaluation
from transfer.models.mixed_model import MixedModel
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel

MakeModel = Callable[..., TransferModel]
Play = Callable[..., Evaluation]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Plain]], list[Plain]]:
    """Lets every environment be of a class; gives the list that they are put into."""

    def choose(kind: type[Plain]) -> list[Plain]:
        made: list[Plain] = []

        def make(self: EnvironmentSpec, **options: Any) -> Plain:
            made.append(kind())
            return made[-1]

        monkeypatch.setattr(EnvironmentSpec, "make", make)
        return made

    return choose


@pytest.fixture(params=["one", "waves", "halves", "together", "together in halves"])
def play(request: pytest.FixtureRequest, make_model: MakeModel, built: Any, monkeypatch: pytest.MonkeyPatch) -> Play:
    """play(kind of environment): 10 episodes of it on every road."""
    monkeypatch.setattr("transfer.evaluation.rollout.usable_cores", lambda: 2)  # waves of ten in halves everywhere
    model = make_model(context=3)
    small = MLPPolicy(model.env_spec, model.statistics, 8)  # fast

    def run(kind: type[Plain], **options: Any) -> Evaluation:
        built(kind)
        if "together" in request.param:
            mixed = MixedModel(model.trunk, {"a": model.adapter, "b": model.adapter})
            return evaluate_together(mixed, 10, num_envs=10 if "halves" in request.param else 3, **options)["b"]
        return evaluate(small, num_episodes=10, num_envs={"one": 1, "waves": 4, "halves": 10}[request.param], **options)

    return run
