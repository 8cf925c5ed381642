"""What the inputs are made of: datasets, a finished run, a stopped run, and the numbers they gave when they were whole.

SHOP/datasets/            bundled/{hopper,walker2d}/{medium,expert}-v0, episodes cut after 20 steps
SHOP/work/runs/good/      a finished run of the modes embeddings and mlp
SHOP/work/runs/stopped/   the same, stopped in its first training
SHOP/facts.json           what valid inputs have to give
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tests.campaign.sandbox import Failure, Place, fork

PRESET = "hopper-to-walker2d"
HOPPER, WALKER = "hopper/medium-expert", "walker2d/medium-expert"
DATASET = "bundled/walker2d/expert-v0"
OWN = "own/hopper-v0"
DATA, RUNS = ("datasets",), ("datasets", "work")
# A whole run in a second.
TINY: dict[str, dict[str, Any]] = {
    "source": {"data": [HOPPER]},
    "target": {"data": [WALKER]},
    "trunk": {"width": 16, "depth": 1, "heads": 2, "dropout": 0.2},
    "adapter.state": {"kind": "linear"},
    "adapter.action": {"kind": "ActionTokenizedSpreadEmbedding", "bins": 8},
    "pretrain": {"steps": 10, "batch_size": 4, "context": 4, "log_every": 2, "save_every": 4},
    "adapt": {"steps": 8, "batch_size": 4, "context": 4, "log_every": 2, "save_every": 4, "modes": ["embeddings"]},
    "eval": {"episodes": 2, "envs": 2, "calibrate": 1},
    "run": {"threads": 1, "seeds": [0], "device": "cpu"},
}


def toml(sections: dict[str, dict[str, Any]] = TINY) -> str:
    """Sections as TOML; JSON's literals are TOML's for what stands in them."""
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def open_shop(folder: Path) -> Path:
    """Fill a folder; each step in a fork, so that this process stays as it was."""
    place = Place(folder)
    for step in (make_data, make_own_data, make_runs, measure):
        error, status = fork(lambda step=step: step(place), 120)  # type: ignore[misc]
        if error or status:
            raise Failure(f"{step.__name__}: status {status}, {error}")
    return folder


def make_data(place: Place) -> None:
    """The bundled datasets, a few episodes each."""
    from transfer.envs.bundled.making import make_dataset

    place.enter()
    for name in (HOPPER, WALKER):
        make_dataset(name, steps=300)
    for file in place.data.rglob("metadata.json"):
        long = file.read_text(encoding="utf-8")
        short = long.replace(r"\"max_episode_steps\": 1000", r"\"max_episode_steps\": 20")
        assert short != long
        file.write_text(short, encoding="utf-8")


def make_own_data(place: Place) -> None:
    """Five episodes of Hopper's sizes."""
    import gymnasium
    import minari
    import numpy as np
    from minari.data_collector import EpisodeBuffer

    place.enter()
    rng, buffers = np.random.default_rng(0), []
    for steps in (12, 12, 9, 12, 12):
        seen, done = rng.standard_normal((steps + 1, 11)), rng.uniform(-1, 1, (steps, 3)).astype(np.float32)
        last = np.arange(steps) == steps - 1
        buffers.append(
            EpisodeBuffer(
                observations=seen, actions=done, rewards=rng.uniform(0, 3, steps), terminations=last & (steps == 9),
                truncations=last & (steps != 9), infos={},
            )
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(OWN, buffers, env=gymnasium.spec("Hopper-v5"))


def make_runs(place: Place) -> str | None:
    """A finished run and one that was interrupted in its pretraining."""
    import transfer.recipes.cells.recorder as cells
    from transfer import Trunk

    place.enter()
    Path("tiny.toml").write_text(toml(), encoding="utf-8")
    begin = ["run", "tiny.toml", "--modes", "embeddings,mlp"]
    place.transfer(*begin, "--name", "good")
    Trunk(Trunk.load("runs/good/trunk/0/trunk").config).save("other")
    log, calls = cells.Recorder.log, []

    def interrupt(self: Any, done: int, values: dict[str, float]) -> None:
        log(self, done, values)
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    cells.Recorder.log = interrupt  # type: ignore[method-assign]
    try:
        place.transfer(*begin, "--name", "stopped")
    except Failure:
        state = Path("runs/stopped/trunk/0/checkpoint/state.json")
        return None if state.is_file() else f"no {state}"
    return "the run was not stopped"


def measure(place: Place) -> None:
    """What the valid ones give."""
    from transfer import load_episodes

    place.enter()
    facts = {
        name: json.loads(place.transfer("eval", f"runs/good/{name}/0", "--episodes", 2, "--json", *more))
        for name, *more in (("embeddings",), ("mlp",), ("trunk",))
    }
    facts["hash"] = {name: load_episodes(name).content_hash for name in (HOPPER, WALKER, DATASET, OWN)}
    facts["steps"] = {name: load_episodes(name).num_steps for name in (HOPPER, WALKER, DATASET, OWN)}
    (place.root / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def facts(shop: Path) -> dict[str, Any]:
    """What `measure` found."""
    content: dict[str, Any] = json.loads((shop / "facts.json").read_text(encoding="utf-8"))
    return content
