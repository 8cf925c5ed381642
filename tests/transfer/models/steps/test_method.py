"""Methods of strangers that are unsound are refused by name before anything trains."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer import registry
from transfer.adapters.build import build_adapter
from transfer.adapters.states.linear import LinearState
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.steps.group import Condition, Loss, PredictedGroup
from transfer.models.steps.method import Method, make_method
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.registry import PartSpec
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(1, 2, context=3)
SIZES = TrunkConfig(16, 1, 2)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {part: dict(kinds) for part, kinds in registry._table().items()}
    monkeypatch.setattr(registry, "_table", lambda: own)


def episodes() -> Episodes:
    rng = np.random.default_rng(0)
    return Episodes.from_arrays(
        rng.normal(size=(12, 11)), rng.uniform(-1, 1, (12, 3)), rng.random(12), [6, 6], "Hopper-v5"
    )


class Plain(Method):
    groups = ("state", "action")

    def asked(self, model: Any, ask: Any) -> dict[str, float]:
        return {}

    def command(self, model: Any, seeds: Any, asked: Any) -> Any:
        return None


class Number(Condition):
    def values(self, steps: Any, scales: Any) -> Tensor:
        return torch.zeros(*steps.mask.shape, 1)


def conditions(**given: Any) -> dict[str, Any]:
    return {"conditions": lambda self: given}


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"groups": ()}, r"groups of the method 'mine' is \(\); a tuple of distinct names"),
        ({"groups": "state"}, "groups of the method 'mine' is 'state'; a tuple"),
        ({"groups": ("state", "state", "action")}, "groups of the method 'mine' is .*; a tuple of distinct"),
        ({"groups": ("state", 3)}, "groups of the method 'mine' is .*; a tuple of distinct"),
        ({"predicts": ("acton",)}, "unknown group in predicts of the method 'mine' 'acton'. Did you mean 'action'"),
        ({"predicts": ()}, "the method 'mine' predicts no group"),
        ({"predicts": "action"}, "predicts of the method 'mine' is 'action'; a tuple"),
        ({"hides": ("reward",)}, "unknown group in hides of the method 'mine' 'reward'"),
        ({"extras": "lengths"}, "extras of the method 'mine' is 'lengths'"),
        ({"windows": ("returns",)}, "windows of the method 'mine' is of type tuple; WindowSpec"),
        (conditions(goal=Number("goal")), r"unknown group in conditions\(\) of the method 'mine' 'goal'"),
        (conditions(state=Number("goal")), "unknown module of the condition 'state' .* 'goal'. Known: state"),
        (conditions(state=nn.Identity()), "the condition 'state' of the method 'mine' is of type Identity"),
        ({"conditions": lambda self: None}, r"conditions\(\) of the method 'mine' is of type NoneType"),
        ({"extras": ("state",)}, "two things called 'state' among groups, extras and shared"),
        ({"shared": lambda self, width: {"action": nn.Linear(1, width)}}, "two things called 'action' among groups"),
        ({"command": Method.command}, "method kind 'mine' failed: TypeError: .*command"),
    ],
)
def test_a_method_that_contradicts_itself_is_refused_wherever_it_is_made(attributes: dict[str, Any], said: str) -> None:
    registry.register("method", "mine", type("Mine", (Plain,), attributes))
    with pytest.raises(TransferError, match=said):
        make_method(PartSpec("mine"))
    with pytest.raises(TransferError, match=said):
        Trunk(SIZES, PartSpec("mine"))


def test_a_sound_method_is_made_and_its_options_are_stored() -> None:
    class Optioned(Plain):
        def __init__(self, *, discount: float = 1.0) -> None:
            self.discount = discount

    registry.register("method", "mine", Optioned)
    spec = PartSpec("mine", {"discount": np.float32(0.5)})
    trunk = Trunk(SIZES, spec)
    adapter = build_adapter(episodes(), SIZES, method=spec)
    assert trunk.method == adapter.method == PartSpec("mine", {"discount": 0.5})
    assert TransferModel(trunk, adapter).method.discount == 0.5  # type: ignore[attr-defined]
    assert build_adapter(episodes(), SIZES, method=PartSpec("mine")).method.options == {"discount": 1.0}


class Reward(PredictedGroup):
    """A group of a stranger's, of a name that this library does not have."""

    tokens = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.inward, self.outward = width, nn.Linear(1, width), nn.Linear(width, 1)

    @classmethod
    def fit(cls, episodes: Any, scales: Any, width: int, *, power: float = 1.0) -> dict[str, Any]:
        return {"width": width}

    def arguments(self) -> dict[str, Any]:
        return {"width": self.width}

    def values(self, steps: Any, scales: Any) -> Tensor:
        return steps.rewards[..., None]

    raw = values

    def embed(self, values: Tensor, shared: Mapping[str, nn.Module], first: int = 0) -> Tensor:
        return self.inward(values)[:, :, None]

    def predict(self, hidden: Tensor, shared: Mapping[str, nn.Module], first: int = 0) -> Tensor:
        return self.outward(hidden[..., 0, :])

    def loss(self, hidden: Tensor, values: Tensor, weight: Tensor, shared: Mapping[str, nn.Module]) -> Any:
        error = (self.predict(hidden, shared) - values).square() * weight
        return Loss(error.sum(), weight.sum())


class Rewarded(Plain):
    groups = ("state", "action", "reward")
    predicts = ("action", "reward")


def test_a_group_of_a_stranger_s_name_trains_and_is_asked_for_where_its_kind_is_missing() -> None:
    registry.register("method", "rewarded", Rewarded)
    with pytest.raises(TransferError, match="no kind for the part 'reward'.*: none. Install .*register one: transfer"):
        adapt(None, episodes(), "scratch-adapt", method="rewarded", trunk_config=SIZES, config=CONFIG)
    registry.register("reward", "plain", Reward)
    with pytest.raises(TransferError, match=r'registered: plain. Write kind = "plain" under \[adapter.reward\]'):
        adapt(None, episodes(), "scratch-adapt", method="rewarded", trunk_config=SIZES, config=CONFIG)
    kinds = AdapterConfig(others={"reward": "plain"})  # type: ignore[dict-item]
    assert AdapterConfig.from_json(kinds.to_json()) == kinds
    result = adapt(
        None, episodes(), "scratch-adapt", method="rewarded", trunk_config=SIZES, config=CONFIG, adapter_config=kinds
    )
    assert set(result.adapter.parts()) == {"state", "action", "reward"}


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda self, hidden, *rest: hidden.sum(), "loss of the group 'reward' returns is of type Tensor; Loss is"),
        (lambda self, hidden, values, weight, shared: Loss(hidden, weight.sum()), "'reward' returns has a sum that is"),
        (lambda self, hidden, *rest: Loss(hidden.sum(), 3), "'reward' returns has a count that is 3"),
    ],
)
def test_a_group_whose_loss_is_none_is_refused_at_its_first_step(loss: Any, said: str) -> None:
    registry.register("method", "rewarded", Rewarded)
    registry.register("reward", "mine", type("Mine", (Reward,), {"loss": loss}))
    kinds = AdapterConfig(others={"reward": "mine"})  # type: ignore[dict-item]
    with pytest.raises(TransferError, match=said):
        adapt(
            None,
            episodes(),
            "scratch-adapt",
            method="rewarded",
            trunk_config=SIZES,
            config=CONFIG,
            adapter_config=kinds,
        )


@pytest.mark.parametrize("terms", [{}, None, {"action": 3.0}])
def test_a_method_whose_loss_has_no_terms_is_refused_at_its_first_step(terms: Any) -> None:
    registry.register("method", "mine", type("Mine", (Plain,), {"loss": lambda self, *given: terms}))
    with pytest.raises(TransferError, match="the loss is |the term 'action' of the loss is of type float"):
        adapt(None, episodes(), "scratch-adapt", method="mine", trunk_config=SIZES, config=CONFIG)


@pytest.mark.parametrize(("tokens", "said"), [(None, "tokens=None"), (0, "tokens=0 is too small"), (1.5, "tokens=1.5")])
def test_a_group_of_no_tokens_is_refused(tokens: Any, said: str) -> None:
    registry.register("state", "mine", type("Mine", (LinearState,), {"tokens": tokens}))
    with pytest.raises(TransferError, match=f"Mine.{said}"):
        build_adapter(episodes(), SIZES, AdapterConfig(state="mine"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["trunk", "scales", "config", "width"])
def test_a_group_that_would_hide_something_of_a_model_is_refused(name: str) -> None:
    registry.register("method", "mine", type("Mine", (Plain,), {"groups": ("state", "action", name)}))
    registry.register(name, "mine", Reward)
    with pytest.raises(TransferError, match=f"'{name}' is a name of the adapter itself"):
        build_adapter(episodes(), SIZES, AdapterConfig(others={name: "mine"}), method=PartSpec("mine"))  # type: ignore[dict-item]


def test_what_a_method_measures_and_makes_is_checked() -> None:
    class Measured(Plain):
        extras = ("table",)

        def fit(self, episodes: Any) -> Any:
            return None

    registry.register("method", "mine", Measured)
    with pytest.raises(TransferError, match=r"what fit\(\) of the method 'mine' returns is of type NoneType; dict"):
        build_adapter(episodes(), SIZES, method=PartSpec("mine"))
    Measured.fit = lambda self, episodes: {"table": {}}  # type: ignore[method-assign]
    Measured.make = lambda self, name, arguments: 3  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(TransferError, match="the table part is of type int; Module is needed"):
        build_adapter(episodes(), SIZES, method=PartSpec("mine"))


@pytest.mark.parametrize("name", ["blocks", "time", "ln_in", "config"])
def test_a_shared_module_does_not_take_the_place_of_the_trunk_s_own(name: str) -> None:
    registry.register("method", "mine", type("Mine", (Plain,), {"shared": lambda self, width: {name: nn.Identity()}}))
    with pytest.raises(TransferError, match=f"'{name}' is a name of the trunk itself"):
        Trunk(SIZES, PartSpec("mine"))
