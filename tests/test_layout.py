"""The arrows between the folders, read from the syntax tree, so that imports inside functions count too."""

import ast
import configparser
import importlib
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
# The one place where the core names the other folders: re-exports for type checkers, never executed.
EXEMPT = ROOT / "transfer" / "__init__.py"


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if path != EXEMPT)


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


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("def f():\n    from transfer.envs.loading import load_episodes", "envs"),
        ("def f():\n    from transfer import envs", "envs"),
        ("from transfer import load_episodes", "envs"),
        ("import transfer.recipes.cli.commands", "recipes"),
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
        if path.parent != ROOT / "recipes" / "cli" and "behaviours" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong, "library code returns or logs: " + ", ".join(wrong)


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


def test_lazy_names_exist_where_they_are_said_to_be() -> None:
    assert set(transfer._HOMES) | {"__version__"} == set(transfer.__all__)
    tree = ast.parse(EXEMPT.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and "_TYPE_CHECKING" in ast.dump(node.test))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == transfer._HOMES
    for name, home in transfer._HOMES.items():
        assert getattr(transfer, name) is getattr(importlib.import_module(home), name)
    assert set(transfer.__all__) <= set(dir(transfer))
    with pytest.raises(AttributeError, match="no attribute 'Adaptor'"):
        _ = transfer.Adaptor
