"""Shipped presets, and the text behind a name. Nothing here is slow to import."""

from importlib import resources
from pathlib import Path

from transfer.errors import TransferError, unknown


def presets() -> list[str]:
    """Names of the shipped presets, sorted."""
    files = resources.files("transfer.recipes").joinpath("configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """The text of a shipped preset, comments included. Raises TransferError with the closest name."""
    if name not in presets():
        raise unknown("preset", name, presets(), "List them with: transfer ls")
    return resources.files("transfer.recipes").joinpath("configs", f"{name}.toml").read_text(encoding="utf-8")


def find_config(name_or_path: str) -> tuple[str, str]:
    """The text of a preset, a TOML file or a run folder's config.toml, and the name its run gets by default.

    Raises:
        TransferError: neither a preset nor a file; the closest preset is named.
    """
    if name_or_path in presets():
        return preset_text(name_or_path), name_or_path
    path = Path(name_or_path)
    path = path / "config.toml" if (path / "config.toml").is_file() else path
    if path.is_file():
        name = path.resolve().parent.name if path.name == "config.toml" else path.stem
        return path.read_text(encoding="utf-8"), name
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise TransferError(f"no file {path}. Make one from a preset: transfer cp {presets()[0]} {path.stem}.toml")
    raise unknown("preset", name_or_path, presets(), "List them with: transfer ls")
