"""The arrows between folders and inside the core, read from the syntax trees: imports inside functions count too."""

import ast
import configparser
import functools
import importlib
from collections import Counter
from pathlib import Path

import pytest

import transfer

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "transfer": "transfer",
    "adapters": "transfer.adapters",
    "envs": "transfer.envs",
    "recipes": "transfer.recipes",
}
MAY_IMPORT = {
    "transfer": {"transfer"},
    "adapters": {"adapters", "transfer"},
    "envs": {"envs", "transfer"},
    "recipes": {"recipes", "envs", "adapters", "transfer"},
}
# Inside the core a file imports from rooms above its own line alone, and never from one on the same line.
LINES = (
    ("errors",),
    ("numbers",),
    ("registry",),
    ("runtime",),
    ("storage",),
    ("data",),
    ("models",),
    ("training", "decoding"),
    ("evaluation",),
)
LINE = {room: number for number, rooms in enumerate(LINES) for room in rooms}
# Re-exports for type checkers, never executed: the one place where the core names the other folders.
TABLE = ROOT / "transfer" / "__init__.py"
# `PolicyModel.policy` looks `transfer.Policy` up in that table when it is called.
LOOKED_UP = {("transfer/models/acting.py", "Policy")}
# Modules named by strings are imported there alone.
IMPORT_BY_STRING = {"__init__.py", "registry.py", "data/environment/building/importing.py"}
# Kernels are named by what they run in, and by the decoder that is made of them.
KERNELS = "transfer.runtime.native"
NAME_KERNELS = ("transfer/runtime/", "transfer/decoding/native.py")
MOST_ENTRIES = 10


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if path != TABLE and path.parent.name != "behaviours")


@functools.cache
def imported(path: Path) -> list[tuple[int, str]]:
    """(line, dotted module) of every import in a file; `from transfer import envs` counts as transfer.envs."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def folder_of(module: str) -> str | None:
    """The folder a dotted module lies in, or None for another distribution."""
    head, _, rest = module.partition(".")
    if head in PACKAGES and head != "transfer":
        return f"{head} without transfer."  # in nobody's row of MAY_IMPORT, so always refused
    if head != "transfer":
        return None
    home = transfer._HOMES.get(rest, module)  # `from transfer import load_episodes` reaches into envs
    second = (home + ".").split(".")[1]
    return second if second in PACKAGES else "transfer"


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name; packages under their own."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sources(folder):
            below = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *below)).removesuffix(".__init__")] = path
    return found


@functools.cache
def arrows() -> dict[str, set[str]]:
    """The modules of the library that each of them imports."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = (transfer._HOMES.get(module.removeprefix("transfer."), module) for _, module in imported(path))
        found[name] = {module if module in known else module.rpartition(".")[0] for module in targets} & set(known)
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reached = {name: reach(graph, name) for name in graph}
    groups = {frozenset(other for other in found if name in reached[other]) for name, found in reached.items()}
    return sorted(sorted(group) for group in groups if group)


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    found, waiting = set(), list(graph[start])
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += graph.get(name, ())
    return found


def room(module: str) -> str:
    """The room of the core that a module lies in: `transfer.data.batch` lies in data."""
    return module.split(".")[1]


@pytest.mark.parametrize("folder", PACKAGES)
def test_imports_follow_the_arrows(folder: str) -> None:
    files = sources(folder)
    assert files, f"no source found in {folder}/"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files
        for line, module in imported(path)
        if module.startswith(".") or folder_of(module) not in {None, *MAY_IMPORT[folder]}
    ]
    assert not wrong, "absolute imports along recipes -> envs, adapters -> transfer only:\n" + "\n".join(wrong)


def test_rooms_of_the_core_import_from_the_lines_before_theirs_alone() -> None:
    core = {name: targets for name, targets in arrows().items() if folder_of(name) == "transfer"}
    assert {room(name) for name in core} == set(LINE), "each room of transfer/ has a line"
    seen = {(room(name), room(target)) for name, targets in core.items() for target in targets if "." in target}
    wrong = [
        f"{name} imports {target}"
        for name, targets in sorted(core.items())
        for target in sorted(targets)
        if "." in target and room(name) != room(target) and LINE[room(target)] >= LINE[room(name)]
    ]
    assert len(seen) > len(LINE)
    assert not wrong, "\n".join(wrong)


def test_no_module_reaches_itself() -> None:
    assert len(arrows()) > 100
    assert sum(map(len, arrows().values())) > 300
    assert circles(arrows()) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": set()}) == [["b", "c"], ["d"]]


def test_names_of_the_table_are_looked_up_in_one_place_of_the_core() -> None:
    found = {
        (str(path.relative_to(ROOT)), node.attr)
        for path in sources("transfer")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "transfer"
        if node.attr in transfer._HOMES
    }
    assert found == LOOKED_UP


def test_modules_are_imported_by_strings_in_few_places_of_the_core() -> None:
    core = ROOT / "transfer"
    found = {
        path.relative_to(core).as_posix()
        for path in core.rglob("*.py")
        if "import_module(" in path.read_text(encoding="utf-8") or "__import__" in path.read_text(encoding="utf-8")
    }
    assert found == IMPORT_BY_STRING


def test_kernels_are_named_by_the_runtime_and_their_decoder_alone() -> None:
    native = {
        str(modules()[name].relative_to(ROOT))
        for name, to in arrows().items()
        if any(t.startswith(KERNELS) for t in to)
    }
    assert native
    assert [path for path in sorted(native) if not path.startswith(NAME_KERNELS)] == []


def test_folders_are_small() -> None:
    entries = Counter(
        folder.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for folder in [ROOT / package, *(ROOT / package).rglob("*")]
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name not in ("__init__.py", "__pycache__", "py.typed")
        if entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py")))
    )
    assert {name: number for name, number in entries.items() if number > MOST_ENTRIES} == {}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("def f():\n    from transfer.envs.loading import load_episodes", "envs"),
        ("def f():\n    from transfer import envs", "envs"),
        ("from transfer import load_episodes", "envs"),
        ("import transfer.recipes.cli", "recipes"),
        ("from transfer.errors import TransferError", "transfer"),
        ("import adapters", "adapters without transfer."),
        ("import numpy as np", None),
    ],
)
def test_the_reader_of_imports_sees_every_form(tmp_path: Path, statement: str, expected: str | None) -> None:
    path = tmp_path / "module.py"
    path.write_text(statement, encoding="utf-8")
    assert [folder_of(module) for _, module in imported(path)] == [expected]


def test_only_the_command_prints() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in PACKAGES
        for path in sources(folder)
        if path.parent != ROOT / "recipes" / "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong, "library code returns or logs: " + ", ".join(wrong)


def test_nothing_but_the_module_that_starts_it_names_the_command() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for folder in PACKAGES
        for path in sources(folder)
        if path.parent != ROOT / "recipes" / "cli" and path != ROOT / "recipes" / "__main__.py"
        for line, module in imported(path)
        if module == "click" or module.startswith(("click.", "transfer.recipes.cli"))
    ]
    assert not wrong, "lines for people go to a function that the command gives: " + ", ".join(wrong)


def test_every_package_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split())
    mapped = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines())
    found = {}
    for folder, package in PACKAGES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder).parts
            found[".".join((package, *below))] = "/".join((folder, *below))
    assert set(found) == listed
    assert {package: found[package] for package in mapped} == mapped
    for folder in PACKAGES:
        assert (ROOT / folder / "py.typed").is_file()
        assert not [path for path in sources(folder) if not (path.parent / "__init__.py").is_file()]


def test_lazy_names_exist_where_they_are_said_to_be() -> None:
    assert set(transfer._HOMES) | {"__version__"} == set(transfer.__all__)
    tree = ast.parse(TABLE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "_TYPE_CHECKING" in ast.dump(node.test))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == transfer._HOMES
    for name, home in transfer._HOMES.items():
        assert getattr(transfer, name) is getattr(importlib.import_module(home), name)
    assert set(transfer.__all__) <= set(dir(transfer))
    with pytest.raises(AttributeError, match="no attribute 'Adaptor'"):
        _ = transfer.Adaptor
