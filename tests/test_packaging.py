"""What a user gets: the built wheel, its data files, and imports that fail or stay cheap as promised."""

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("transfer", "adapters", "envs", "recipes")
PUBLIC = """
    Adapter AdapterConfig Callback EnvironmentSpec Episodes MixedModel PartSpec Policy Recorder ReferenceScores
    TrainConfig TransferError TransferModel Trunk TrunkConfig WindowSampler __version__ adapt calibrate evaluate
    evaluate_together fingerprint load_episodes pretrain save_dataset train_only
""".split()


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in a copy so that no build folder appears in the checkout."""
    for module in ("build", "setuptools"):
        pytest.importorskip(module)
    copy = tmp_path_factory.mktemp("copy")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, copy)
    done = python("-m", "build", "--wheel", "--no-isolation", str(copy), cwd=copy.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(built: Path) -> list[str]:
    """The names inside the wheel."""
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_installs_one_top_level_name(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"transfer"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_wheel_holds_every_module_and_the_types_marker(wheel: list[str], folder: str) -> None:
    place = "transfer" if folder == "transfer" else f"transfer/{folder}"
    packages = [init.parent for init in (ROOT / folder).rglob("__init__.py")]
    modules = {path.relative_to(ROOT / folder).as_posix() for package in packages for path in package.glob("*.py")}
    assert {f"{place}/{path}" for path in (*modules, "py.typed")} <= set(wheel)


def test_every_module_can_be_imported_from_the_wheel(built: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(built).extractall(tmp_path)
    code = (
        "import importlib, pkgutil, transfer\n"
        f"assert transfer.__file__.startswith({str(tmp_path)!r}), transfer.__file__\n"
        "names = [one.name for one in pkgutil.walk_packages(transfer.__path__, 'transfer.')]\n"
        "for name in names:\n"
        "    found = importlib.import_module(name).__spec__.origin\n"
        f"    assert found is None or found.startswith({str(tmp_path)!r}), found\n"
        "print(len(names))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150  # all folders were walked


@pytest.mark.parametrize(
    "pattern",
    [
        "recipes/configs/*.toml",
        "envs/bundled/behaviours/*.npz",
        "transfer/runtime/native/*.[ch]",
        "transfer/runtime/native/*.py",
    ],
)
def test_the_wheel_holds_the_data_files(wheel: list[str], pattern: str) -> None:
    places = (path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
    expected = {place if place.startswith("transfer/") else f"transfer/{place}" for place in places}
    assert expected, f"{pattern} matches nothing"
    assert expected <= set(wheel)


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_a_folder_cannot_be_imported_under_its_bare_name(folder: str) -> None:
    done = python("-c", f"import {folder}")
    assert done.returncode == 1
    assert f"import transfer.{folder}, not {folder}" in done.stderr


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(importlib.import_module("transfer"), name) is not None


def test_there_is_no_other_public_name() -> None:
    assert sorted(importlib.import_module("transfer").__all__) == PUBLIC


def test_import_transfer_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "sklearn", "gymnasium", "minari", "mujoco", "matplotlib", "click"}
    done = python("-c", f"import sys, transfer; dir(transfer); print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_version_is_known_without_installation(tmp_path: Path) -> None:
    from_source = "import transfer; print(transfer.__version__)"
    assert python("-c", from_source).stdout.strip()[:1].isdigit()
    shutil.copytree(ROOT / "transfer", tmp_path / "transfer", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {from_source}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "0+unknown", done.stderr
