"""Dataset names: Minari ids, bundled names, and the folders of local datasets. Imports nothing heavy."""

import contextlib
import difflib
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from transfer.envs.minari.remote import REMOTE, is_minaris_own
from transfer.envs.writing.staging import recover
from transfer.errors import TransferError, unknown
from transfer.numbers import seen

# The policies in envs/bundled/behaviours/. D4RL's medium-expert is both joined in equal numbers of steps.
_LABELS = {"medium": ("medium",), "expert": ("expert",), "medium-expert": ("medium", "expert")}
BUNDLED: dict[str, tuple[str, ...]] = {
    f"{env}/{name}": tuple(f"bundled/{env}/{label}-v0" for label in labels)
    for env in ("hopper", "walker2d")
    for name, labels in _LABELS.items()
}
# Minari's grammar, (namespace/)name-vN. Without dots and empty parts no id leads out of the datasets' folder.
_DATASET_ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_LONGEST = 255  # bytes of one part of a path
_GRAMMAR = "A Minari id ends in its version, as mujoco/hopper/expert-v0; `transfer data ls` lists what is at hand."
MAKING = ".making-"  # prefix of the folders in which datasets are written before they are published
_PICTURES = ("atari/", "minigrid/")


def resolve(source: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the Minari ids that a source names, in order.

    Args:
        source: bundled names and Minari ids, comma-separated in one string or as a sequence.

    Raises:
        TransferError: no name, a name that is neither bundled nor a Minari id, or a dataset named twice.
    """
    items = [source] if isinstance(source, str) else source
    if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
        raise TransferError(f"datasets are named by text, or by a list of texts; got {seen(source)}.")
    names = [part.strip() for item in items for part in item.split(",")]
    ids = tuple(one for name in names if name for one in _ids_of(name))
    if not ids:
        raise TransferError(f"no dataset named in {source!r}. Bundled ones: {', '.join(BUNDLED)}.")
    for one in ids:
        if ids.count(one) > 1:
            raise TransferError(f"dataset '{one}' is named twice; its steps would count twice")
    return ids


def _ids_of(item: str) -> tuple[str, ...]:
    if item in BUNDLED:
        return BUNDLED[item]
    name = unicodedata.normalize("NFC", item)  # an accent may be typed as a separate character
    if is_id(name) and (not name.startswith("bundled/") or bundled_name([name])):
        return (name,)
    raise unknown("dataset", item, [*BUNDLED, *local_ids()], _GRAMMAR)


def is_id(text: str) -> bool:
    """Whether a text is a Minari id whose parts are short enough for folder names."""
    short = all(len(part.encode()) <= _LONGEST for part in text.split("/"))
    return bool(_DATASET_ID.fullmatch(text)) and short


def check_known(source: str | Sequence[str]) -> None:
    """Raises TransferError, with the closest ids, for ids that are neither local nor known. Uses no network.

    With a remote of the user's (MINARI_REMOTE) every id may exist there, so none is refused.
    """
    for one in resolve(source):
        if is_local(one) or one.startswith("bundled/") or one in REMOTE or not is_minaris_own():
            continue
        if one.startswith(_PICTURES):
            raise TransferError(f"dataset '{one}' holds images and discrete actions, which are not supported.")
        every = [*local_ids(), *BUNDLED, *REMOTE]
        closest = difflib.get_close_matches(one, every, n=6, cutoff=0.0)
        hint = "`transfer data ls` lists what is at hand; what Minari has since added, `minari download ID` brings."
        raise unknown("dataset", one, closest, hint)


def bundled_name(ids: Sequence[str]) -> str | None:
    """Returns the bundled name with the fewest datasets that contains all of these ids, None if there is none."""
    names = [name for name, made in BUNDLED.items() if set(ids) <= set(made)]
    return min(names, key=lambda name: len(BUNDLED[name])) if names else None


def closest_bundled(ids: Sequence[str]) -> str:
    """Returns the bundled name closest to these remote ids, "" if none is of their environment.

    For mujoco/hopper/{medium,expert}-v0 that is "hopper/medium-expert".
    """
    text = " ".join(ids).lower()
    env = "walker2d" if "walker" in text else "hopper"
    if env not in text and "walker" not in text:
        return ""
    labels = [label for label in ("medium", "expert") if label in text]
    return f"{env}/{'-'.join(labels) or 'medium-expert'}"


def command_for(dataset_id: str) -> str:
    """Returns the command that makes, imports or downloads one dataset."""
    name = bundled_name([dataset_id])
    if name:
        return f"transfer data make {name}{' --overwrite' if is_local(dataset_id) else ''}"
    if dataset_id.startswith("imported/"):
        return f"transfer data import FILE --env NAME --id {dataset_id}{' --overwrite' if is_local(dataset_id) else ''}"
    return f"minari download {dataset_id}"


def datasets_root() -> Path:
    """Returns the folder of Minari's local datasets by Minari's own rule, without creating it.

    Raises:
        TransferError: MINARI_DATASETS_PATH is not set and this user has no home folder.
    """
    try:
        return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    except RuntimeError as error:
        raise TransferError(
            "this user has no home folder, in which Minari's datasets would lie. Set MINARI_DATASETS_PATH to theirs."
        ) from error


def data_path(dataset_id: str) -> Path:
    """Returns the folder with metadata.json and the data file of a local dataset."""
    return datasets_root() / dataset_id / "data"


def is_local(dataset_id: str) -> bool:
    """Whether the dataset is on this machine. A folder without metadata is an interrupted download."""
    metadata = data_path(dataset_id) / "metadata.json"
    if not metadata.is_file():
        _recover()
    return metadata.is_file()


def _recover() -> None:
    """Restores datasets that a killed process was replacing."""
    with contextlib.suppress(TransferError, OSError):
        recover(datasets_root(), MAKING)


def at_hand(source: str | Sequence[str]) -> bool:
    """Whether every dataset that a source names (see `resolve`) is on this machine. Uses no network."""
    return all(is_local(one) for one in resolve(source))


def local_ids() -> list[str]:
    """Returns the sorted ids of the datasets on this machine; a user without a home folder has none."""
    _recover()
    try:
        root = datasets_root()
        found = [path.relative_to(root).as_posix() for path in _datasets(root, set())]
    except (TransferError, OSError):
        return []
    return sorted(one for one in found if is_id(one))


def _datasets(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yields the folders of datasets at any depth, following links. Each other folder is listed once."""
    if (folder / "data" / "metadata.json").is_file():
        yield folder
    elif (place := folder.resolve()) not in seen:
        seen.add(place)
        with contextlib.suppress(OSError):  # not readable
            for one in sorted(folder.iterdir()):
                if one.is_dir():
                    yield from _datasets(one, seen)
