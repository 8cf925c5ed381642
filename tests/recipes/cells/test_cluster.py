"""Cells on a Ray cluster of three nodes, which are processes of this machine: the bytes of one process."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.processes import command, trains, until
from transfer.errors import TransferError
from transfer.recipes.cells.executors import cluster
from transfer.recipes.cells.executors.cluster import _do, sees
from transfer.recipes.cells.executors.parcels import data_files, pack, replace_files
from transfer.recipes.cells.executors.setup import Setup
from transfer.recipes.cells.run_cell import RunCell, cells_of
from transfer.recipes.cells.work import Work, works_of
from transfer.recipes.settings.config import load_config

Transfer = Callable[..., Result]
Lasting = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def nodes(workplace: Path) -> Iterator[Any]:
    """A cluster with a head that has no room for cells, and three nodes with room for one each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    os.environ["RAY_worker_niceness"] = "0"  # else everything else on this machine comes first
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.three = [made.add_node(num_cpus=1) for _ in range(3)]
    signal.signal(signal.SIGTERM, before)  # starting a node puts a handler of Ray's there
    yield made
    if ray.is_initialized():
        ray.shutdown()
    made.shutdown()
    signal.signal(signal.SIGTERM, before)


def test_a_cluster_ends_in_the_bytes_of_one_process_whoever_dies(
    options: list[str], inline: Path, nodes: Any, lasting: Lasting, tmp_path: Path
) -> None:
    """The driver is killed in the middle, then a node."""
    begin = [*options, "--ray", nodes.address, "--storage", tmp_path, "--name", "walk"]
    first = command(*begin)
    trains(tmp_path, first)
    first.send_signal(signal.SIGKILL)
    assert first.communicate()[0] is not None and first.returncode == -signal.SIGKILL
    second = command(*begin, "--resume")
    until(lambda: len(list((tmp_path / "walk").glob("*/*/training.json"))) or second.poll() is not None)
    nodes.remove_node(nodes.three.pop(), allow_graceful=False)
    output = second.communicate(timeout=1200)[0]
    assert second.returncode == 0, output
    assert lasting(tmp_path / "walk") == lasting(inline)


def test_a_parcel_holds_all_that_work_needs(
    inline: Path, lasting: Lasting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece of work is done where neither the run nor its data are seen, and comes back."""
    run, told = tmp_path / "inline", list[str]()
    run.mkdir()
    (run / "config.toml").write_text((inline / "config.toml").read_text())
    text = (run / "config.toml").read_text()

    class Queue:
        def put_nowait(self, item: tuple[int, str, str, dict[str, Any]]) -> None:
            told.append(item[2])

    monkeypatch.setattr(cluster, "sees", lambda *_: False)
    monkeypatch.setattr("transfer.recipes.cells.executors.parcels.SEND_EVERY", 0.001)
    setup = Setup.of_here("cpu", 1, ())
    cells = [cell for cell in cells_of(load_config(str(inline)), run) if cell.seed == 0]
    for work in works_of(cells, lambda cell: None):
        parcel = pack(work)
        data = {one: data_files(one) for one in parcel.data}
        with monkeypatch.context() as patch:
            patch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "none"))
            patch.setattr("tempfile.tempdir", str(tmp_path))
            files = _do(work, text, parcel, setup, Queue(), 0, list(data), *data.values())
        assert files is not None
        replace_files(files, work.cell.home)
    expected = {name: content for name, content in lasting(inline).items() if "/0/" in name}
    assert lasting(run) == expected
    assert {"say", "progress", "state"} <= set(told)


def test_a_folder_that_a_machine_must_see_and_does_not_is_refused(inline: Path, tmp_path: Path) -> None:
    work = Work(RunCell(tmp_path / "away", "embeddings", 0), "train")
    with pytest.raises(TransferError, match="does not see .*away, which --storage says every machine does"):
        _do(work, "text", None, Setup.of_here("cpu", 1, ()), None, 0, [])
    text = (inline / "config.toml").read_text()
    assert sees(inline, text) and not sees(inline, text + " ") and not sees(tmp_path / "away", text)


def test_a_cluster_without_ray_names_the_command(
    options: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(transfer(*options, "--ray", "--runs-dir", tmp_path / "runs"), 'pip install "embedding-swap[cluster]"')
    assert not (tmp_path / "runs").exists()


def test_setups_of_one_kind_are_equal() -> None:
    here = Setup.of_here("cpu", 1, ("a",))
    assert here == Setup.of_here("cpu", 1, ("a",)) != replace(here, threads=2)
