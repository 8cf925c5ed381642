"""Small trainings that leave their loss curve and weights behind: here, or in two connected processes.

    python -m tests.two_processes OUT

does all of them with two processes, forked from one so that torch is imported once. It runs outside of pytest because
a process that has computed gradients cannot be forked.
"""

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.hooks import Hooks
from tests.kinds import config_of
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.trunk import TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.modes import new_trunk
from transfer.recipes.programs.pretrain import pretrain
from transfer.runtime.distributed import connected, rank
from transfer.training.train_config import TrainConfig

LENGTHS = (2, 9, 3, 14, 2, 2, 5, 11)  # most windows are padded, each by another amount
CONFIG = TrainConfig(steps=6, batch_size=6, context=7, lr=1e-3, warmup=0, log_every=1, save_every=2)
TRUNK = TrunkConfig(width=16, depth=1, heads=2, dropout=0.2)
ADAPTER = config_of(bins=8)


def episodes(env: str = "Hopper-v5", sizes: tuple[int, int] = (11, 3)) -> Episodes:
    rng, steps = np.random.default_rng(0), sum(LENGTHS)
    states, actions = rng.normal(1.0, 2.0, (steps, sizes[0])), np.clip(rng.normal(0.0, 0.8, (steps, sizes[1])), -1, 1)
    return Episodes.from_arrays(states, actions, rng.uniform(0, 3, steps), LENGTHS, env, name=f"test/{env}")


class Stopped(Exception):
    """Stands for the end of the job."""


def pretraining(folder: Path, **options: Any) -> Any:
    return pretrain(
        episodes(), config=CONFIG, trunk_config=TRUNK, adapter_config=ADAPTER, precision=torch.float32, **options
    )


def frozen(folder: Path, **options: Any) -> Any:
    trunk, data = new_trunk(TRUNK, 5), episodes("Walker2d-v5", (17, 6))
    return adapt(trunk, data, config=CONFIG, adapter_config=ADAPTER, precision=torch.float32, **options)


def mlp(folder: Path, **options: Any) -> Any:
    return adapt(None, episodes(), "mlp", config=CONFIG, trunk_config=TRUNK, adapter_config=ADAPTER, **options)


def resumed(folder: Path, **options: Any) -> Any:
    """Goes on from the state in the folder's sibling `stopped`."""
    return pretraining(folder, checkpoint=folder.parent / "stopped" / "checkpoint", **options)


KINDS: dict[str, Callable[..., Any]] = {"pretraining": pretraining, "frozen": frozen, "mlp": mlp, "resumed": resumed}


def train(kind: str, folder: Path) -> None:
    """Train, and write what this process saw to curve-RANK.json and weights-RANK.safetensors."""
    curve: list[list[float]] = []
    result = KINDS[kind](
        folder,
        callbacks=[Hooks(log=lambda _, values: curve.append([values["train/loss"], values["train/grad_norm"]]))],
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"curve-{rank()}.json").write_text(json.dumps(curve))
    save_file(dict(result.model.state_dict()), folder / f"weights-{rank()}.safetensors")


def stop(folder: Path) -> None:
    """Begin a pretraining whose state is saved after 2 and 4 steps, and end it before the next."""

    def on_step(step: int) -> None:
        if step == 5:
            raise Stopped

    try:
        pretraining(folder, checkpoint=folder / "checkpoint", callbacks=[Hooks(step=on_step)])
    except Stopped:
        pass


def curve(folder: Path, process: int = 0) -> list[list[float]]:
    values: list[list[float]] = json.loads((folder / f"curve-{process}.json").read_text())
    return values


def weights(folder: Path, process: int = 0) -> dict[str, Tensor]:
    return load_file(folder / f"weights-{process}.safetensors")


def errors(folder: Path) -> None:
    """What a process is told when the processes do not fit together."""
    told = []
    for options in ({"seed": rank()}, {"config": TrainConfig(steps=1, batch_size=5, context=7)}):
        try:
            pretrain(episodes(), **{"config": CONFIG, "trunk_config": TRUNK, "adapter_config": ADAPTER, **options})
        except TransferError as error:
            told.append(str(error))
    folder.mkdir(exist_ok=True)
    (folder / f"errors-{rank()}.json").write_text(json.dumps(told))


def process(number: int, port: int, out: Path) -> None:
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with connected():
        for kind in KINDS:
            train(kind, out / kind)
        errors(out / "errors")


def main(out: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=process, args=(number, port, out)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(max(abs(worker.exitcode or 0) for worker in workers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
