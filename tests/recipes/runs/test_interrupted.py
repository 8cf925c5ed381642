"""A run that stops, for whatever reason, leaves nothing half-written and goes on to the bytes of an unbroken one."""

import errno
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.processes import command

Transfer = Callable[..., Result]
Lasting = Callable[[Path], dict[str, bytes]]
MAIN = "hopper-to-walker2d"
FULL_DISK = OSError(errno.ENOSPC, "No space left on device")
# Probes fall on the steps whose state is saved: a stop between the two must not lose one.
OPTIONS = ["--modes", "embeddings,full", "--set", "eval.probe_every=4", "--set", "eval.probe_episodes=1"]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def unbroken(workplace: Path, tiny: list[str], transfer: Transfer) -> Path:
    """The folder of a run that nothing stopped."""
    result = transfer("run", MAIN, *tiny, *OPTIONS, "--name", "unbroken")
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "unbroken"


@pytest.fixture
def go(tiny: list[str], transfer: Transfer, tmp_path: Path) -> Callable[..., Result]:
    """Start the same run in a folder of the test's own, tmp_path/walk."""
    return lambda *more: transfer("run", MAIN, *tiny, *OPTIONS, "--name", "walk", "--runs-dir", tmp_path, *more)


def whole(run: Path) -> None:
    """Nothing in the folder is half-written."""
    hidden = [path for path in run.rglob("*") if path.name.startswith(".")]
    assert not hidden, hidden
    for path in run.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    for folder in (path for name in ("trunk", "adapter", "checkpoint") for path in run.glob(f"*/*/{name}")):
        name = "state" if folder.name == "checkpoint" else folder.name
        assert sorted(path.name for path in folder.iterdir()) == [f"{name}.json", f"{name}.safetensors"]


def scalars(cell: Path) -> dict[str, set[tuple[int, float]]]:
    """The points that TensorBoard shows of a cell, without speeds; one may be there twice, none is missing."""
    events = EventAccumulator(str(cell), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag not in ("train/tokens_per_second", "tokenizer/max_error")]
    return {tag: {(event.step, event.value) for event in events.Scalars(tag)} for tag in tags}


def same(run: Path, unbroken: Path, lasting: Lasting) -> None:
    """Files and curves are those of the unbroken run."""
    whole(run)
    assert lasting(run) == lasting(unbroken)
    for cell in ("trunk/0", "embeddings/0", "full/0"):
        assert scalars(run / cell) == scalars(unbroken / cell)


class Half:
    """A stream that takes a few bytes, and then raises an error."""

    def __init__(self, stream: Any, error: BaseException) -> None:
        self.stream, self.error = stream, error

    def __enter__(self) -> "Half":
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def write(self, content: bytes) -> int:
        self.stream.write(b"half")
        raise self.error


def stop_write(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, error: BaseException) -> None:
    """The nth time that a file called `name` is written, half of it gets there."""
    import transfer.storage.files

    original, left = transfer.storage.files._temporary, [nth]

    def temporary(path: Path) -> tuple[Path, Any]:
        made, stream = original(path)
        called = re.sub(r"^\.(\w+)\.\w{16}(\.safetensors)$", r"\1\2", path.name)  # the first name of tensors
        left[0] -= called == name
        return made, Half(stream, error) if called == name and left[0] == 0 else stream

    monkeypatch.setattr(transfer.storage.files, "_temporary", temporary)


@pytest.mark.parametrize(
    ("cause", "name", "nth"),
    [
        ("full disk", "state.safetensors", 1),
        ("full disk", "adapter.json", 2),  # with its calibration, of the trunk
        ("full disk", "adapter.json", 3),  # of embeddings: the trunk is finished
        ("full disk", "results.json", 3),
        ("full disk", "report.png", 1),
        ("Ctrl-C", "state.json", 3),
        ("Ctrl-C", "probes.json", 2),
        ("Ctrl-C", "trunk.safetensors", 1),
        ("Ctrl-C", "results.json", 1),
        ("Ctrl-C", "report.csv", 1),
    ],
)
def test_a_write_that_fails(
    cause: str,
    name: str,
    nth: int,
    go: Callable[..., Result],
    unbroken: Path,
    lasting: Lasting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        stop_write(patch, name, nth, FULL_DISK if cause == "full disk" else KeyboardInterrupt())
        result = go()
    again = f"transfer run {MAIN} "
    assert again in result.stderr and result.stderr.rstrip().endswith("--resume"), result.output
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert (result.exit_code, "the disk is full" in result.stderr) == {"full disk": (2, True)}.get(cause, (130, False))
    whole(tmp_path / "walk")
    resumed = go("--resume")
    assert resumed.exit_code == 0, resumed.output
    same(tmp_path / "walk", unbroken, lasting)


@pytest.mark.parametrize("error", [FULL_DISK, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_a_run_that_cannot_even_begin_leaves_no_folder(
    error: BaseException, go: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_write(monkeypatch, "config.toml", 1, error)
    assert go().exit_code in (2, 130)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [FULL_DISK, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_a_stop_while_data_is_made_leaves_neither_data_nor_a_run(
    error: BaseException, go: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    monkeypatch.setattr("transfer.envs.bundled.generate.generate", fail)
    assert go().exit_code in (2, 130)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "nth"),
    [("transfer.recipes.cells.recorder.Recorder.log", 3), ("transfer.recipes.cells.recorder.Recorder.log", 7)]
    + [("transfer.recipes.cells.playing.evaluate", nth) for nth in (1, 3, 4, 7)],
)
def test_ctrl_c_in_training_and_in_evaluation(
    where: str,
    nth: int,
    go: Callable[..., Result],
    unbroken: Path,
    lasting: Lasting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Evaluations 1 and 2 are probes of the pretraining, 3 its evaluation, 4 a probe of embeddings."""
    from transfer.recipes.cells import playing, recorder

    owner = recorder.Recorder if where.endswith(".log") else playing
    original, calls = getattr(owner, where.rpartition(".")[2]), []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == nth:
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(where, counted)
        result = go()
    assert result.exit_code == 130 and "Interrupted. Go on with: transfer run" in result.stderr
    assert "stopped at" in result.stderr or where.endswith("evaluate")
    whole(tmp_path / "walk")
    assert go("--resume").exit_code == 0
    same(tmp_path / "walk", unbroken, lasting)


def test_a_damaged_state_is_named_with_the_way_out(
    go: Callable[..., Result], unbroken: Path, lasting: Lasting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_write(patch, "state.json", 2, KeyboardInterrupt())
        assert go().exit_code == 130
    state = tmp_path / "walk" / "trunk" / "0" / "checkpoint"
    tensors = (state / "state.safetensors").read_bytes()
    (state / "state.safetensors").write_bytes(tensors[:-100])
    result = go("--resume")
    assert result.exit_code == 2 and f"remove {state}/state.* to start this training again" in result.stderr
    (state / "state.safetensors").write_bytes(tensors)
    head = json.loads((state / "state.json").read_text())
    for edited in ({**head, "step": "4"}, {"step": 4}, {**head, "identity": 3}, {**head, "identity": {}}, []):
        (state / "state.json").write_text(json.dumps(edited))
        result = go("--resume")
        assert result.exit_code == 2 and str(state) in result.stderr, result.output
    shutil.rmtree(state)
    assert go("--resume").exit_code == 0
    same(tmp_path / "walk", unbroken, lasting)


def test_a_run_killed_before_its_config_was_written_begins_again(go: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    left = tmp_path / "walk" / ".config.toml.0123456789abcdef.new"
    left.write_text("[sou")
    assert go("--set", "eval.episodes=1").exit_code == 0
    assert {path.name for path in (tmp_path / "walk").iterdir()} >= {"config.toml", "trunk", "embeddings", "full"}
    assert not left.exists()


def count_files(folder: Path) -> int:
    """How many files lie below a folder that another process changes meanwhile; os.walk passes over what vanished."""
    return sum(len(files) for _, _, files in os.walk(folder))


def test_a_process_killed_at_random_moments(
    unbroken: Path, tiny: list[str], transfer: Transfer, lasting: Lasting, tmp_path: Path
) -> None:
    """Twice: once from the beginning, once after it went on; then it is finished here, from its folder alone."""
    run, files = tmp_path / "walk", count_files(unbroken)
    begin = ["run", MAIN, *tiny, *OPTIONS, "--name", "walk", "--runs-dir", str(tmp_path)]
    # With one file there is no config.toml yet, so nothing to resume; the last files are those of the report.
    moments = sorted(random.sample(range(2, files - 4), 2))
    for moment, arguments in zip(moments, [begin, ["run", str(run), "--resume"]], strict=True):
        process = command(*arguments)
        while process.poll() is None and count_files(run) < moment:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        output = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL, f"{moments} {output}"
    result = transfer("run", run, "--resume")
    assert result.exit_code == 0, f"{moments} {result.output}"
    assert lasting(run) == lasting(unbroken), moments
    same(run, unbroken, lasting)
