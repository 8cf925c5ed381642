"""Shipped presets, and the settings behind a name. Quick to import."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from transfer.errors import TransferError, unknown
from transfer.recipes.settings.toml import read_toml
from transfer.storage.files import as_path

BASE = "base"
"""The settings that every preset extends: each key with its comment."""
OFF = "# Off in this copy, because it stands for the data above and not for yours; take away the # to use it.\n"


def presets() -> list[str]:
    """Names of the shipped presets that can be run, sorted."""
    files = resources.files("transfer.recipes").joinpath("configs").iterdir()
    return sorted({file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")} - {BASE})


def preset_text(name: str) -> str:
    """The text of a shipped preset, or of `BASE`, with its comments. Raises TransferError with the closest name."""
    if name not in (BASE, *presets()):
        raise unknown("preset", name, presets(), "List them with: transfer ls")
    return resources.files("transfer.recipes").joinpath("configs", f"{name}.toml").read_text(encoding="utf-8")


def own_copy(name: str) -> str:
    """A preset's text to edit, with its fallbacks off: they stand for the preset's data alone.

    Raises:
        TransferError: as `preset_text`.
    """
    return re.sub(r'^fallback = (?!"")', rf"{OFF}# \g<0>", preset_text(name), flags=re.MULTILINE)


@dataclass(frozen=True)
class Settings:
    """The settings of a run as text.

    Attributes:
        text: TOML.
        place: the preset's name or the path of the file, for messages.
        name: default name of a run.
        folder: of the file; None for a preset.
    """

    text: str
    place: str
    name: str
    folder: Path | None = None

    @property
    def shipped(self) -> bool:
        """Whether they are a preset's, and not the user's choice."""
        return self.folder is None

    @property
    def identity(self) -> str:
        """The same for the same preset, or the same file by whatever path."""
        return self.name if self.folder is None else str(Path(self.place).resolve())


def find_config(name_or_path: str) -> Settings:
    """The settings of a preset, a TOML file or a run folder.

    Raises:
        TransferError: neither a preset nor a file that can be read; the closest preset is named.
    """
    if name_or_path in (BASE, *presets()):
        return Settings(preset_text(name_or_path), name_or_path, name_or_path)
    path = as_path(name_or_path, "PRESET_OR_TOML")
    path = path / "config.toml" if (path / "config.toml").exists() else path
    if path.is_dir():
        settings = sorted(path.glob("*.toml"))
        known = f"It holds settings: transfer run {settings[0]}" if settings else "What is at hand: transfer ls"
        raise TransferError(f"{path} is a folder without a config.toml, so not a run. {known}")
    if path.exists():
        name = path.resolve().parent.name if path.name == "config.toml" else path.stem
        return Settings(read_toml(path), str(path), name, path.parent)
    if path.suffix == ".toml":
        raise TransferError(f"no file {path}. Make one from a preset: transfer cp {presets()[0]} {path.name}")
    if len(path.parts) > 1:
        raise TransferError(f"no run and no file {path}. What is at hand: transfer ls")
    raise unknown("preset", name_or_path, presets(), "List them with: transfer ls")


def run_folder(name_or_path: str, name: str | None, runs_dir: Path, suffix: str) -> Path:
    """The folder of a run: the one that was named, else one under `runs_dir`.

    Args:
        name_or_path: as for `find_config`.
        name: what the user called it, None for the preset's or file's own name with `suffix`.
        runs_dir: parent of the folders of runs.
        suffix: of a name that was not given.

    Raises:
        TransferError: a name that is not the name of a folder.
    """
    path = as_path(name_or_path, "PRESET_OR_TOML")
    if name is None and name_or_path not in (BASE, *presets()) and (path / "config.toml").is_file():
        return path
    name = find_config(name_or_path).name + suffix if name is None else name
    if not name or name.startswith(".") or name != Path(name).name:
        raise TransferError(f"--name '{name}' is not the name of a folder. Where runs lie is --runs-dir ({runs_dir}).")
    return runs_dir / name
