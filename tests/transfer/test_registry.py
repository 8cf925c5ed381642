"""The table of kinds: a kind of one's own is found by its name, and what is wrong is said by name."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer import registry
from transfer.errors import TransferError


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {part: dict(kinds) for part, kinds in registry._table().items()}
    monkeypatch.setattr(registry, "_table", lambda: own)


def test_a_kind_of_ones_own_is_imported_on_its_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_parts.py").write_text("class Mine: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("state", "mine", "my_parts:Mine")
    assert "my_parts" not in sys.modules and "mine" in registry.known("state")
    assert registry.resolve("state", "mine").__name__ == "Mine"


def test_a_class_is_a_kind_too() -> None:
    class Mine: ...

    registry.register("state", "mine", Mine)
    assert registry.resolve("state", "mine") is Mine


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: registry.register("sate", "mine", "a:B"), "unknown part 'sate'. Did you mean 'state'?"),
        (lambda: registry.known("objective"), "unknown part 'objective'.* Known: .*planner"),
        (lambda: registry.resolve("objective", "mine"), "unknown part 'objective'"),
        (lambda: registry.resolve("state", "liner"), "unknown state kind 'liner'. Did you mean 'linear'?"),
        (lambda: registry.register("state", "mine", "my_parts.Mine"), "target 'my_parts.Mine' of state kind 'mine': "),
        (lambda: registry.register("state", "mine", 3), "target 3 of state kind 'mine': a class, or text"),  # type: ignore[arg-type]
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


def test_a_module_that_lacks_another_one_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy_parts.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.register("state", "needy", "needy_parts:Mine")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        registry.resolve("state", "needy")
