"""A piece of work with everything that it needs, for a machine that does not see the run's folder."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from transfer.envs.dataset_ids import data_path, datasets_root, is_local, resolve
from transfer.recipes.cells.executors.setup import Setup, Tell
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.cells.work import Work
from transfer.recipes.runs.used import TARGET, dump_used, read_used
from transfer.recipes.settings.config import dump_config, load_config
from transfer.recipes.settings.pretrained import find_trunk
from transfer.storage.files import write_bytes
from transfer.storage.locks import one_at_a_time

Files = Mapping[str, bytes]
"""Content of the files of a folder by their relative paths."""
ORIGIN = "origin"  # folder beside a run that is made of a parcel, with the trunk from elsewhere
STATES = ("checkpoint/state.json", "checkpoint/state.safetensors", "probes.json")
SEND_EVERY = 5.0  # seconds between two looks for a new state


@dataclass(frozen=True)
class Parcel:
    """A piece of work and the files that it needs.

    Attributes:
        work: its folders lie on the machine that packed it.
        config: the text of config.toml.
        home, trunk: the files of the cell, and of the trunk that it works on.
        data: ids of the datasets.
    """

    work: Work
    config: str
    home: Files
    trunk: Files
    data: tuple[str, ...]


def pack(work: Work) -> Parcel:
    """A parcel of a piece of work whose trunk is trained."""
    cell, path = work.cell, work.cell.run / "config.toml"
    config, used = load_config(str(path)), read_used(path)
    keys = [key for key in used if (key != TARGET) == cell.pretrains]
    trunk: Files = {}
    if config.pretrain.from_ and not cell.pretrains:
        trunk = files_of(find_trunk(Path(config.pretrain.from_), cell.seed))
        config = replace(config, pretrain=replace(config.pretrain, from_=ORIGIN))
    elif cell.needs_trunk:
        trunk = files_of(cell.trunk_cell().home)
    ids = dict.fromkeys(one for key in keys for one in resolve(used[key].data))
    return Parcel(work, dump_config(config) + dump_used(used), files_of(cell.home), trunk, tuple(ids))


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder; none where there is no folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def data_files(dataset_id: str) -> dict[str, bytes]:
    """The files of a local dataset, relative to the folder of datasets."""
    folder = data_path(dataset_id)
    return {
        (folder / name).relative_to(datasets_root()).as_posix(): content for name, content in files_of(folder).items()
    }


def put(files: Files, folder: Path) -> None:
    """Write files into a folder; of a saved state the JSON comes last, see `transfer.storage.pairs`."""
    for name in sorted(files, key=lambda name: (name.endswith(".json"), name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, files[name])


def replace_files(files: Files, folder: Path) -> None:
    """Let a folder hold these files and no others: the state of a cell as it came back."""
    put(files, folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def do_parcel(parcel: Parcel, setup: Setup, data: Mapping[str, Files], tell: Tell) -> Files:
    """Do a parcel's work in a folder of this machine; the files of the cell afterwards.

    Each state that is saved is told as "state", so that it outlives this machine.
    """
    with tempfile.TemporaryDirectory(prefix="transfer-") as place, _datasets(data):
        run = Path(place) / parcel.work.cell.run.name
        cell = replace(parcel.work.cell, run=run)
        config = parcel.config.replace(f'from = "{ORIGIN}"', f'from = "{Path(place) / ORIGIN}"')
        put({"config.toml": config.encode()}, run)
        put(parcel.home, cell.home)
        put(parcel.trunk, cell.trunk_cell().home if cell.needs_trunk else Path(place) / ORIGIN)
        with _states_told(cell, tell):
            setup.do(replace(parcel.work, cell=cell, after=()), tell)
        return files_of(cell.home)


@contextmanager
def _states_told(cell: RunCell, tell: Tell) -> Iterator[None]:
    """Inside, a thread tells each new saved state of a training."""
    over, last = threading.Event(), b""

    def watch() -> None:
        nonlocal last
        while not over.wait(SEND_EVERY):
            with suppress(OSError):
                if not (cell.home / "checkpoint").is_dir():
                    continue
                with one_at_a_time(cell.home / "checkpoint"):
                    state = {name: (cell.home / name).read_bytes() for name in STATES if (cell.home / name).is_file()}
                if state.get(STATES[0], last) != last:
                    last = state[STATES[0]]
                    tell("state", {"files": state})

    thread = threading.Thread(target=watch, name="states", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _datasets(data: Mapping[str, Files]) -> Iterator[None]:
    """Inside, datasets that are not on this machine are, in a folder that the processes of one driver share."""
    if all(map(is_local, data)):
        yield
        return
    root = Path(tempfile.gettempdir()) / f"transfer-data-{os.getuid() if hasattr(os, 'getuid') else 'here'}"
    before = os.environ.get("MINARI_DATASETS_PATH")
    for one, files in data.items():  # of all of them, for there is one folder of datasets
        making = root / f".{os.getpid()}"
        if not (root / one / "data" / "metadata.json").is_file():
            put(files, making)
            (root / one).parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # another process was faster
                (making / one).rename(root / one)
            shutil.rmtree(making, ignore_errors=True)
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        os.environ.pop("MINARI_DATASETS_PATH") if before is None else os.environ.update(MINARI_DATASETS_PATH=before)
