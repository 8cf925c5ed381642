"""From what a user writes to Minari dataset ids, and where those lie on this machine; quick to import."""

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
# Minari's own grammar, (namespace/)name-vN; no dot, no empty part: no id leaves the datasets' folder.
_DATASET_ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_LONGEST = 255  # bytes of one part of a path
_GRAMMAR = "A Minari id ends in its version, as mujoco/hopper/expert-v0; `transfer data ls` lists what is at hand."
MAKING = ".making-"  # begins the names of folders in which datasets are put together
_PICTURES = ("atari/", "minigrid/")


def resolve(source: str | Sequence[str]) -> tuple[str, ...]:
    """The Minari ids that a source stands for, in order.

    Args:
        source: bundled names and Minari ids, comma-separated in one string or as a sequence.

    Raises:
        TransferError: nothing named, a name that is neither bundled nor a Minari id, or a dataset named twice.
    """
    items = [source] if isinstance(source, str) else source
    if not isinstance(items, Sequence) or not all(isinstance(item, str) for item in items):
        raise TransferError(f"datasets are named by text, or by a list of texts; got {seen(source)}.")
    names = [part.strip() for item in items for part in item.split(",")]
    ids = tuple(one for name in names if name for one in _ids_of(name))
    if not ids:
        raise TransferError(f"no dataset named in {source!r}. Bundled ones: {', '.join(BUNDLED)}.")
    check_once(ids)
    return ids


def check_once(ids: Sequence[str]) -> None:
    """Raises TransferError if a dataset is named twice."""
    for one in ids:
        if ids.count(one) > 1:
            raise TransferError(f"dataset '{one}' is named twice; its steps would count twice")


def _ids_of(item: str) -> tuple[str, ...]:
    if item in BUNDLED:
        return BUNDLED[item]
    name = unicodedata.normalize("NFC", item)  # an accent may be typed as a letter of its own
    if is_id(name) and (not name.startswith("bundled/") or bundled_name([name])):
        return (name,)
    raise unknown("dataset", item, [*BUNDLED, *local_ids()], _GRAMMAR)


def is_id(text: str) -> bool:
    """Whether a text is a Minari id that can be a folder's name."""
    short = all(len(part.encode()) <= _LONGEST for part in text.split("/"))
    return bool(_DATASET_ID.fullmatch(text)) and short


def check_known(source: str | Sequence[str]) -> None:
    """Raises TransferError, with the closest id, for ids that are neither here nor known; no network is asked.

    Another remote than Minari's own (MINARI_REMOTE) may have any.
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
    """The shortest bundled name that makes all of these ids, None when there is no such name."""
    names = [name for name, made in BUNDLED.items() if set(ids) <= set(made)]
    return min(names, key=lambda name: len(BUNDLED[name])) if names else None


def closest_bundled(ids: Sequence[str]) -> str:
    """The bundled name most like these remote ids, "" where none is of their environment.

    "hopper/medium-expert" for mujoco/hopper/{medium,expert}-v0.
    """
    text = " ".join(ids).lower()
    env = "walker2d" if "walker" in text else "hopper"
    if env not in text and "walker" not in text:
        return ""
    labels = [label for label in ("medium", "expert") if label in text]
    return f"{env}/{'-'.join(labels) or 'medium-expert'}"


def command_for(dataset_id: str) -> str:
    """The command that brings one dataset to this machine."""
    name = bundled_name([dataset_id])
    if name:
        return f"transfer data make {name}{' --overwrite' if is_local(dataset_id) else ''}"
    if dataset_id.startswith("imported/"):
        return f"transfer data import FILE --env NAME --id {dataset_id}{' --overwrite' if is_local(dataset_id) else ''}"
    return f"minari download {dataset_id}"


def datasets_root() -> Path:
    """The folder of Minari's local datasets, by Minari's own rule; not created.

    Raises:
        TransferError: the variable is not set, and this user has no home folder.
    """
    try:
        return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")
    except RuntimeError as error:
        raise TransferError(
            "this user has no home folder, in which Minari's datasets would lie. Set MINARI_DATASETS_PATH to theirs."
        ) from error


def data_path(dataset_id: str) -> Path:
    """The folder that holds metadata.json and the data file of a local dataset."""
    return datasets_root() / dataset_id / "data"


def is_local(dataset_id: str) -> bool:
    """Whether the dataset lies on this machine. A folder without metadata is a download that broke off."""
    metadata = data_path(dataset_id) / "metadata.json"
    if not metadata.is_file():
        _recover()
    return metadata.is_file()


def _recover() -> None:
    """Brings back datasets that a process was replacing when it was killed."""
    with contextlib.suppress(TransferError, OSError):
        recover(datasets_root(), MAKING)


def at_hand(source: str | Sequence[str]) -> bool:
    """Whether every dataset of a source lies on this machine; never uses the network.

    Raises:
        TransferError: as `resolve`.
    """
    return all(is_local(one) for one in resolve(source))


def local_ids() -> list[str]:
    """Ids of the datasets on this machine, sorted; none for a user without a home folder."""
    _recover()
    try:
        root = datasets_root()
        found = [path.relative_to(root).as_posix() for path in _datasets(root, set())]
    except (TransferError, OSError):
        return []
    return sorted(one for one in found if is_id(one))


def _datasets(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Folders of datasets at any depth, also behind links; each folder that is none is looked into once."""
    if (folder / "data" / "metadata.json").is_file():
        yield folder
    elif (place := folder.resolve()) not in seen:
        seen.add(place)
        with contextlib.suppress(OSError):  # may not be read
            for one in sorted(folder.iterdir()):
                if one.is_dir():
                    yield from _datasets(one, seen)
