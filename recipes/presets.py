"""Shipped presets, and the text behind a name. Nothing here is slow to import."""

from importlib import resources
from pathlib import Path

from transfer.errors import TransferError, unknown
from transfer.recipes.toml import read_toml

OFF = "# Off in this copy, because it stands for the data above and not for yours; take away the # to use it.\n"


def presets() -> list[str]:
    """Names of the shipped presets, sorted."""
    files = resources.files("transfer.recipes").joinpath("configs").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """The text of a shipped preset, comments included. Raises TransferError with the closest name."""
    if name not in presets():
        raise unknown("preset", name, presets(), "List them with: transfer ls")
    return resources.files("transfer.recipes").joinpath("configs", f"{name}.toml").read_text(encoding="utf-8")


def own_copy(name: str) -> str:
    """A preset's text for a file of one's own: without its fallbacks, which stand for the preset's data alone.

    Raises:
        TransferError: as `preset_text`.
    """
    lines = []
    for line in preset_text(name).splitlines(keepends=True):
        if line.startswith("fallback = ") and not line.startswith('fallback = ""'):
            line = f"{OFF}# {line}"
        lines.append(line)
    return "".join(lines)


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
        return read_toml(path), name
    if path.is_dir():
        raise TransferError(f"{path} is a folder without a config.toml, so not a run. What is at hand: transfer ls")
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise TransferError(f"no file {path}. Make one from a preset: transfer cp {presets()[0]} {path.stem}.toml")
    raise unknown("preset", name_or_path, presets(), "List them with: transfer ls")


def run_folder(name_or_path: str, name: str | None, runs_dir: Path, suffix: str) -> Path:
    """Where a run goes: into the folder of the run that was named, else into a folder under `runs_dir`.

    Args:
        name_or_path: as for `find_config`.
        name: what the user called it, None for the preset's or file's own name.
        runs_dir: where runs lie.
        suffix: behind a name that was not given.

    Raises:
        TransferError: a name that is not the name of a folder.
    """
    if name is None and name_or_path not in presets() and (Path(name_or_path) / "config.toml").is_file():
        return Path(name_or_path)
    name = find_config(name_or_path)[1] + suffix if name is None else name
    if not name or name.startswith(".") or name != Path(name).name:
        raise TransferError(f"--name '{name}' is not the name of a folder. Where runs lie is --runs-dir ({runs_dir}).")
    return runs_dir / name
