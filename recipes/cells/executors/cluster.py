"""Runs cells on a Ray cluster: `transfer run X --ray` here, `--ray ADDRESS` on many machines."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer.errors import TransferError
from transfer.recipes.cells.executors.executor import Died, Failure, Watch, schedule
from transfer.recipes.cells.executors.parcels import Files, Parcel, data_files, do_parcel, pack, put, replace_files
from transfer.recipes.cells.executors.setup import Setup, Show
from transfer.recipes.cells.work import Work

PATIENCE = 10.0  # seconds for an address to answer
CARRIED = ("MINARI_DATASETS_PATH", "MINARI_REMOTE", "XDG_CACHE_HOME", "MUJOCO_GL", "PYTHONPATH")
"""Variables of the environment that the processes of the cluster get."""
LOCAL = "local"
INSTALL = 'Ray is not installed: pip install "embedding-swap[cluster]"'
AHEAD = 2  # pieces of work for each that the cluster has room for, so that none of its processes waits


class Cluster:
    """A Ray cluster.

    A process or machine that dies costs at most the work since the last state that was saved; Ray gives the work to
    another one.

    Args:
        address: of a running cluster, or "local" for one of this machine.
        setup: of each process.
        show: takes what they tell.
        storage: whether every machine has to see the folder of the runs. Where it is not asked for, a machine that does
            not see it gets what it needs through Ray's object store, and its states come back that way.
        gpus: of each piece of work.

    Raises:
        TransferError: Ray is not installed, or nothing answers at the address.
    """

    def __init__(self, address: str, setup: Setup, show: Show, storage: bool = False, gpus: float = 0.0) -> None:
        self.setup, self.show, self.storage, self.gpus = setup, show, storage, gpus
        self._ray = connect(address)
        self._data: dict[str, Any] = {}  # references to the files of datasets

    def run(self, works: Sequence[Work], watch: Watch) -> list[Failure]:
        """See `transfer.recipes.cells.executors.executor.Executor`."""
        ray = self._ray
        from ray.util.queue import Queue

        room = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.setup.threads)
        self._queue = Queue(actor_options={"num_cpus": 0})
        self._works, self._running = {work.title: work for work in works}, set[Any]()
        over = threading.Event()
        hears = threading.Thread(target=self._hear, args=(over,), name="cluster", daemon=True)
        hears.start()
        try:
            return schedule(works, min(len(works), AHEAD * room), self._start, watch)
        except BaseException:
            for ref in self._running:
                ray.cancel(ref, force=True)
            raise
        finally:
            over.set()
            hears.join()
            self._queue.shutdown()

    def _start(self, work: Work, slot: int) -> Future[None]:
        ray = self._ray
        here = None if self.storage else pack(work)
        data = {} if here is None else {one: self._reference(one) for one in here.data}
        task = ray.remote(_do).options(
            num_cpus=self.setup.threads, num_gpus=self.gpus, max_retries=0, name=f"{work.phase} {work.title}"
        )
        text = (work.cell.run / "config.toml").read_text(encoding="utf-8")
        ref = task.remote(work, text, here, self.setup, self._queue, slot, list(data), *data.values())
        self._running.add(ref)
        answer: Future[None] = Future()

        def came(inner: Any) -> None:
            self._running.discard(ref)
            try:
                files = inner.result()
                if files is not None:
                    replace_files(files, work.cell.home)
            except Exception as error:
                answer.set_exception(_error(error))
            else:
                answer.set_result(None)

        ref.future().add_done_callback(came)
        return answer

    def _reference(self, dataset_id: str) -> Any:
        """A dataset's files in the object store."""
        if dataset_id not in self._data:
            self._data[dataset_id] = self._ray.put(data_files(dataset_id))
        return self._data[dataset_id]

    def _hear(self, over: threading.Event) -> None:
        """Show what the processes tell, and keep the states that they save."""
        from ray.util.queue import Empty

        while not over.is_set():
            with suppress(Empty):
                slot, title, kind, value = self._queue.get(timeout=1.0)
                if kind == "state":
                    put(value["files"], self._works[title].cell.home)
                else:
                    self.show(slot, kind, value)


def connect(address: str) -> Any:
    """Ray, connected.

    Raises:
        TransferError: it is not installed, or nothing answers at the address within ten seconds.
    """
    try:
        import ray
    except ImportError as error:
        raise TransferError(INSTALL) from error
    variables = {name: os.environ[name] for name in CARRIED if name in os.environ}
    settings: dict[str, Any] = {
        "runtime_env": {"env_vars": variables},
        "log_to_driver": False,
        "logging_level": "error",
    }
    if address == LOCAL:
        return _started(ray, {**settings, "include_dashboard": False})
    _check_answers(address)
    return _started(ray, {**settings, "address": address})


def _started(ray: Any, settings: Mapping[str, Any]) -> Any:
    if not ray.is_initialized():
        try:
            ray.init(**settings)
        except Exception as error:
            raise TransferError(f"Ray does not start: {type(error).__name__}: {error}") from error
    return ray


def _check_answers(address: str) -> None:
    """Raise TransferError where nothing answers at HOST:PORT; Ray itself would try for minutes."""
    import socket

    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        raise TransferError(f"--ray {address}: an address HOST:PORT is needed, as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as error:
        raise TransferError(
            f"nothing answers at {address} within {PATIENCE:.0f} s ({error}). Start a head with: ray start --head"
        ) from error


def _error(error: Exception) -> Exception:
    """What a task raised; `Died` where its process or machine is gone."""
    import ray

    gone = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.ObjectLostError,
    )
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = error.cause if isinstance(error.cause, Exception) else error
        return Died(str(cause)) if isinstance(cause, gone) else cause
    if isinstance(error, gone):
        return Died(f"its process or machine died ({type(error).__name__})")
    return error


_begun: Setup | None = None


def _do(
    work: Work, config: str, parcel: Parcel | None, setup: Setup, queue: Any, slot: int, ids: list[str], *data: Files
) -> Files | None:
    """Do a piece of work in a process of the cluster: in the run's folder where it is seen, else in one of its own."""
    global _begun

    def tell(kind: str, value: Mapping[str, Any]) -> None:
        with suppress(Exception):  # a queue that is gone does not end the work
            queue.put_nowait((slot, work.title, kind, dict(value)))

    if _begun != setup:
        setup.begin()
        _begun = setup
    if sees(work.cell.run, config):
        setup.do(work, tell)
        return None
    if parcel is None:
        raise TransferError(
            f"{platform.node()} does not see {work.cell.run}, which --storage says every machine does. Mount it "
            "there under the same path, or leave --storage out: data and states then go through Ray"
        )
    return do_parcel(parcel, setup, dict(zip(ids, data, strict=True)), tell)


def sees(run: Path, config: str) -> bool:
    """Whether this machine has the same run folder as the one that gave out the work."""
    try:
        return (run / "config.toml").read_text(encoding="utf-8") == config
    except OSError:
        return False
