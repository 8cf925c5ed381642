"""The table of kinds: a kind of one's own is found by its name, and what is wrong is said by name."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer import registry
from transfer.adapters.states.linear import LinearState
from transfer.errors import BrokenKind, TransferError, UnknownKind
from transfer.models.steps.group import Group
from transfer.models.steps.method import Method
from transfer.models.tuning import Tuning
from transfer.registry import PartSpec


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {part: dict(kinds) for part, kinds in registry._table().items()}
    monkeypatch.setattr(registry, "_table", lambda: own)


def test_a_kind_of_ones_own_is_imported_on_its_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from transfer.models.steps.group import Group\nclass Mine(Group): ...\n"
    (tmp_path / "my_parts.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("state", "mine", "my_parts:Mine")
    assert "my_parts" not in sys.modules and "mine" in registry.known("state")
    assert registry.resolve("state", "mine").__name__ == "Mine"


def test_a_class_is_a_kind_too() -> None:
    class Mine(Group): ...

    registry.register("state", "mine", Mine)
    assert registry.resolve("state", "mine") is Mine


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: registry.register("my goal", "mine", "a:B"), "part 'my goal': a name of letters"),
        (lambda: registry.register("method", "dt", Method), "method kind 'dt' is that of this library"),
        (lambda: registry.resolve("filter", "mlp"), "unknown filter kind 'mlp'.* It is a kind of state"),
        (lambda: registry.known("objective"), "unknown part 'objective'.* Known: .*planner"),
        (lambda: registry.resolve("objective", "mine"), "unknown part 'objective'"),
        (lambda: registry.resolve("state", "liner"), "unknown state kind 'liner'. Did you mean 'linear'?"),
        (lambda: registry.register("state", "mine", "my_parts.Mine"), "target 'my_parts.Mine' of state kind 'mine': "),
        (lambda: registry.register("state", "mine", 3), "target 3 of state kind 'mine': a class, a function"),  # type: ignore[arg-type]
        (lambda: PartSpec("mlp", ["hidden"]), "the options of kind 'mlp' is of type list; Mapping is needed"),  # type: ignore[arg-type]
        (lambda: registry.register("state", 3, "a:B"), "state kind 3: a name in text is needed"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(call: Callable[[], Any], said: str) -> None:
    before = {part: dict(kinds) for part, kinds in registry._table().items()}
    with pytest.raises(TransferError, match=said):
        call()
    assert before == registry._table()


@pytest.mark.parametrize("target", ["no_such_package.parts:Mine", "transfer.errors:Mine"])
def test_a_target_that_is_not_there_is_named(target: str) -> None:
    registry.register("state", "mine", target)
    with pytest.raises(TransferError, match=f"state kind 'mine' is registered as {target}, which is not there"):
        registry.resolve("state", "mine")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_fails_is_named_with_its_cause(
    text: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_parts.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("state", "failing", "failing_parts:Mine")
    with pytest.raises(UnknownKind, match="state kind 'failing' is registered as failing_parts:Mine.*") as said:
        registry.resolve("state", "failing")
    assert cause in str(said.value) and "register it anew: transfer.registry.register('state'" in str(said.value)


def test_functions_and_parts_of_another_name_are_registered_as_a_plug_in_names_them() -> None:
    class Goal(Group):
        @classmethod
        def fit(cls, episodes: Any, scales: Any, width: int, *, size: int = 2) -> dict[str, Any]:
            return {}

    def long_ones(episodes: Any, *, steps: int = 100) -> Any:
        return episodes

    before = registry.groups()
    registry.register("goal", "mine", Goal)
    registry.register("filter", "long", long_ones)
    assert registry.groups() == [*before, "goal"] and registry.options_of("goal", "mine") == {"size": 2}
    assert registry.build("filter", PartSpec("long"), "episodes") == "episodes"
    registry.register("filter", "long", lambda episodes: None)  # anew, in the same process
    assert registry.build("filter", PartSpec("long"), "episodes") is None


class Discounted(Method):
    """A method with options, one of them without a default."""

    groups = ("state", "action")

    def __init__(self, *, discount: float, bonus: float = 1.0) -> None:
        self.discount, self.bonus = discount, bonus

    def asked(self, model: Any, ask: Any) -> dict[str, float]:
        return {}

    def command(self, model: Any, seeds: Any, asked: Any) -> Any:
        return None


def test_options_of_a_method_are_those_of_its_constructor() -> None:
    registry.register("method", "discounted", Discounted)
    takes = registry.options_of("method", "discounted")
    assert takes == {"discount": inspect.Parameter.empty, "bonus": 1.0}
    spec = registry.complete("method", PartSpec("discounted", {"discount": 0.9}))
    assert spec == PartSpec("discounted", {"discount": 0.9, "bonus": 1.0})
    assert registry.build("method", spec).discount == 0.9
    assert registry.options_of("tokenizer", "quantile") == {}


@pytest.mark.parametrize("call", [registry.complete, registry.build])
def test_an_option_without_a_default_has_to_be_given(call: Callable[..., Any]) -> None:
    registry.register("method", "discounted", Discounted)
    with pytest.raises(TransferError, match="method 'discounted' needs its option 'discount', which has no default"):
        call("method", PartSpec("discounted", {"bonus": 2.0}))


@pytest.mark.parametrize(
    ("part", "target", "needed"),
    [
        ("method", Group, "a subclass of transfer.models.steps.method.Method"),
        ("tuning", Discounted, "a subclass of transfer.models.tuning.Tuning"),
        ("state", len, "a subclass of transfer.models.steps.group.Group"),
        ("tokenizer", Discounted, "a subclass of transfer.adapters.tokenizers.tokenizer.Tokenizer"),
        ("goal", Discounted, "a subclass of transfer.models.steps.group.Group"),
        ("filter", "transfer.registry:ADAPTERS", "a class or a function"),
    ],
)
def test_a_class_of_another_type_is_refused(part: str, target: Any, needed: str) -> None:
    registry.register(part, "mine", target)
    with pytest.raises(TransferError, match=f"{part} kind 'mine' is .*; {needed} is needed"):
        registry.options_of(part, "mine")


def test_options_are_completed_as_plain_values() -> None:
    def mine(episodes: Any, *, names: Any = ("a", "b"), at: Any = None) -> Any:
        return episodes

    registry.register("filter", "mine", mine)
    given = {"at": {"x": (np.int64(3), np.array([0.5, 1.0])), "part": PartSpec("ia3")}}
    spec = registry.complete("filter", PartSpec("mine", given))
    assert spec.options == {"names": ["a", "b"], "at": {"x": [3, [0.5, 1.0]], "part": {"kind": "ia3"}}}
    assert json.loads(json.dumps(spec.to_json())) == spec.to_json()
    for value in (object(), {1: 2}, {1, 2}, float("nan"), len):
        with pytest.raises(TransferError, match="filter.at"):
            registry.complete("filter", PartSpec("mine", {"at": value}))


class Given(Tuning):
    sites = ("o",)

    def check(self) -> None:
        """No class method."""


class Instance(LinearState):
    def fit(self, episodes: Any, scales: Any, width: int, *, size: int = 1) -> dict[str, Any]:  # type: ignore[override]
        return {}


class Short(LinearState):
    @classmethod
    def fit(cls, episodes: Any) -> dict[str, Any]:  # type: ignore[override]
        return {}


@pytest.mark.parametrize(
    ("part", "target", "said"),
    [
        (
            "filter",
            lambda episodes, other: episodes,
            "filter kind 'mine': .*lambda.* cannot be called: missing .* 'other'",
        ),
        ("tuning", Given, "tuning kind 'mine': Given.check cannot be called: missing .* 'self'"),
        ("state", Instance, "state kind 'mine': fit of Instance is no class method"),
        ("state", type("None_", (LinearState,), {"fit": None}), "state kind 'mine': fit of None_ is no class method"),
        ("state", Short, "state kind 'mine': Short.fit cannot be called: too many positional"),
    ],
)
def test_a_kind_that_takes_other_arguments_is_named(part: str, target: Any, said: str) -> None:
    registry.register(part, "mine", target)
    with pytest.raises(BrokenKind, match=said):
        registry.complete(part, PartSpec("mine"))
        registry.build(part, PartSpec("mine"), *(("episodes",) if part == "filter" else ("episodes", "scales", 4)))


class Failing(LinearState):
    @classmethod
    def fit(cls, episodes: Any, scales: Any, width: int) -> dict[str, Any]:  # type: ignore[override]
        raise ZeroDivisionError("of mine")


def _fails(episodes: Any) -> Any:
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("part", "target", "said"),
    [
        ("filter", _fails, "filter kind 'mine' failed: KeyError: 'mine'"),
        ("state", Failing, "state kind 'mine' failed: ZeroDivisionError: of mine"),
    ],
)
def test_a_strangers_kind_that_fails_is_named(part: str, target: Any, said: str) -> None:
    registry.register(part, "mine", target)
    with pytest.raises(BrokenKind, match=said):
        registry.build(part, PartSpec("mine"), *(("episodes",) if part == "filter" else ("episodes", "scales", 4)))


def test_an_error_of_our_own_kinds_and_of_the_memory_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(episodes: Any) -> Any:
        raise MemoryError

    registry.register("filter", "mine", full)
    with pytest.raises(MemoryError):
        registry.build("filter", PartSpec("mine"), "episodes")
    with pytest.raises(AttributeError):
        registry.build("filter", PartSpec("expert"), "no episodes")
