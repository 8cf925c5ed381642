"""Ways of damaging a clean dataset, and the code that each triggers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces

from transfer.data.environment.spec import gym_spec_json


def metadata(folder: Path, **changes: Any) -> None:
    """Changes the metadata of a dataset; None removes a key."""
    path = folder / "data" / "metadata.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def spec(folder: Path, key: str = "env_spec", **changes: Any) -> None:
    """Changes the environment of a dataset, or adds one to evaluate in."""
    stored = json.loads(json.loads((folder / "data" / "metadata.json").read_text())["env_spec"])
    metadata(folder, **{key: json.dumps({**stored, **changes})})


def arrays(change: Callable[[dict[str, np.ndarray]], Any], episodes: int | None = 1) -> Callable[[Path], None]:
    """Changes the arrays, by path, of the first episodes (None: of all), and writes them back."""

    def damage(folder: Path) -> None:
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            for name in sorted(file, key=lambda name: int(name[8:]))[:episodes]:
                group, paths = file[name], list[str]()
                group.visit(paths.append)
                paths = [path for path in paths if hasattr(group[path], "shape") and not path.startswith("infos")]
                values = {path: group[path][()] for path in paths}
                change(values)
                for path in paths:
                    del group[path]
                for path, value in values.items():
                    group[path] = value

    return damage


def both(*damages: Callable[[Path], Any]) -> Callable[[Path], str | None]:
    def damage(folder: Path) -> str | None:
        return [one(folder) for one in damages][-1]

    return damage


def copy_episodes(*targets: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            for target in targets:
                del file[f"episode_{target}"]
                file.copy("episode_0", f"episode_{target}")

    return damage


def move(before: str, after: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            file.move(before, after)

    return damage


def cast(path: str, dtype: Any) -> Callable[[dict[str, np.ndarray]], None]:
    def change(values: dict[str, np.ndarray]) -> None:
        values[path] = values[path].astype(dtype)

    return change


def nan_ends(values: dict[str, np.ndarray]) -> None:
    values["terminations"] = values["terminations"].astype(np.float64)
    values["terminations"][4] = np.nan


def drop_all(folder: Path) -> None:
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        for name in list(file):
            del file[name]


def drop_infos(folder: Path) -> None:
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        for name in file:
            del file[f"{name}/infos"]


def rename(dataset_id: str) -> Callable[[Path], str]:
    def damage(folder: Path) -> str:
        (folder.parents[1] / dataset_id).parent.mkdir(parents=True, exist_ok=True)
        folder.rename(folder.parents[1] / dataset_id)
        return dataset_id

    return damage


def cut(steps: int) -> Callable[[dict[str, np.ndarray]], None]:
    def change(values: dict[str, np.ndarray]) -> None:
        for path in values:
            values[path] = values[path][: steps + path.startswith("observations")]
        if steps:
            values["terminations"][-1] = True

    return change


def put(path: str, index: Any, value: Any) -> Callable[[dict[str, np.ndarray]], None]:
    def change(values: dict[str, np.ndarray]) -> None:
        values[path][index] = value

    return change


def take(path: str, index: Any) -> Callable[[dict[str, np.ndarray]], None]:
    def change(values: dict[str, np.ndarray]) -> None:
        values[path] = values[path][index]

    return change


def stand_at_the_goal(values: dict[str, np.ndarray]) -> None:
    values["observations/achieved_goal"][20:] = values["observations/desired_goal"][20:]
    values["rewards"][19:] = 1


def put_back(values: dict[str, np.ndarray]) -> None:
    values["observations/achieved_goal"][10:20] += 30


@dataclass(frozen=True)
class Case:
    code: str
    severity: str
    kind: str
    damage: Callable[[Path], str | None]
    message: str = ""


def serialized(space: Any) -> str:
    from minari.serialization import serialize_space

    return str(serialize_space(space))


IMAGES = spaces.Box(0, 255, (8, 8, 3), np.uint8)
WALLS = [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, "g", 0, "r", 1], [1, 1, 1, 1, 1]]
GOALS = [[1, 1, 1, 1, 1], [1, "r", 0, 0, 1], [1, 1, 1, 0, 1], [1, "g", 0, 0, 1], [1, 1, 1, 1, 1]]
RESCALE, NORMALIZE = (
    {"name": name, "entry_point": f"gymnasium.wrappers:{name}", "kwargs": kwargs}
    for name, kwargs in (
        ("RescaleAction", {"min_action": -2.0, "max_action": 2.0}),
        ("NormalizeObservation", {"epsilon": 1e-8}),
    )
)
CASES = [
    Case("no-episodes", "error", "hopper", drop_all),
    Case("odd-names", "error", "hopper", move("episode_3", "episode_x"), "^episode_x: 1 in"),
    Case("odd-names", "error", "hopper", move("episode_3", "episode_-1"), "^episode_-1: 1 in"),
    Case("odd-names", "error", "hopper", move("episode_3", "episode_03"), "^episode_03: 1 in"),
    Case("empty-episodes", "error", "hopper", arrays(cut(0)), "1 of 11 .9.09 %.*; first episode_0$"),
    Case("arrays-missing", "error", "hopper", arrays(lambda values: values.pop("rewards"), 2), "2 of 11.*rewards"),
    Case("arrays-missing", "error", "antmaze", arrays(lambda values: values.pop("observations/desired_goal"))),
    Case("unsupported-spaces", "error", "hopper", lambda f: metadata(f, action_space=serialized(spaces.Discrete(2)))),
    Case("unsupported-spaces", "error", "hopper", lambda f: metadata(f, observation_space=serialized(IMAGES))),
    Case("arrays-missing", "error", "hopper", arrays(cast("rewards", complex)), "1 of 11.*rewards"),
    Case("arrays-missing", "error", "hopper", arrays(cast("actions", "S8")), "1 of 11.*actions"),
    Case("arrays-missing", "error", "hopper", arrays(cast("rewards", bool)), "1 of 11.*rewards"),
    Case("observations-not-t-plus-1", "error", "hopper", arrays(take("observations", slice(-1))), "1 of 11"),
    Case("observations-not-t-plus-1", "error", "antmaze", arrays(take("observations/achieved_goal", slice(-1)))),
    Case("lengths-disagree", "error", "hopper", arrays(take("actions", slice(-1))), "1 of 11"),
    Case("sizes-differ", "error", "hopper", arrays(take("observations", np.s_[:, :10])), r"\(10,\) instead of \(11,\)"),
    Case("counts-disagree", "warning", "hopper", lambda f: metadata(f, total_steps=200), "200 steps, the file .* 132"),
    Case("not-finite", "error", "hopper", arrays(put("rewards", 3, np.nan), 2), "2 of 11.*2 steps of rewards"),
    Case("not-finite", "error", "hopper", arrays(nan_ends), "1 of 11.*1 steps of terminations"),
    Case("not-finite", "error", "hopper", arrays(put("observations", 3, 1e39)), "1 steps of states"),
    Case("flags-inside", "error", "hopper", arrays(put("truncations", [3, 5], True)), "2 ends before the last step"),
    Case("no-end-flag", "warning", "hopper", arrays(put("terminations", -1, False)), "1 of 11"),
    Case("duplicate-episodes", "warning", "hopper", copy_episodes(3), "1 of 11"),
    Case("duplicate-episodes", "error", "hopper", copy_episodes(3, 4), "2 of 11"),
    Case("duplicate-episodes", "warning", "door", both(copy_episodes(1, 2), rename("D4RL/door/cloned-v2")), "2 of 3"),
    Case("tiny-episodes", "note", "hopper", arrays(cut(3), 2), "2 of 11.*fewer than 5"),
    Case("actions-out-of-range", "warning", "hopper", arrays(put("actions", (2, 1), -1.5)), "1 of 396.*0.5"),
    Case("actions-out-of-range", "error", "hopper", arrays(put("actions", np.s_[:, 1], 30.0), 11), "by up to 29"),
    Case("saturated-actions", "note", "hopper", arrays(put("actions", np.s_[:, 1], 1.0), 5), "60 of 396 .15.2 %"),
    Case("constant-actions", "warning", "hopper", arrays(put("actions", np.s_[:, 1], 0.5), None), "1 of 3.*: 1$"),
    Case("constant-states", "note", "hopper", arrays(put("observations", np.s_[:, 3:6], 0), None), "3 of 11.*: 3-5$"),
    Case("constant-rewards", "warning", "hopper", arrays(put("rewards", slice(None), 0), None), "every reward is 0$"),
    Case("no-environment", "error", "hopper", lambda f: metadata(f, env_spec=None), "the metadata name none"),
    Case("no-environment", "error", "hopper", lambda f: spec(f, entry_point="no_such:Thing"), "no_such"),
    Case("other-environment", "error", "hopper", lambda f: metadata(f, env_spec=gym_spec_json("Walker2d-v5"))),
    Case("other-environment", "error", "antmaze", lambda f: metadata(f, env_spec=gym_spec_json("AntMaze_UMaze-v5")),
         "105 observation.*27 observation.*contact forces"),
    Case("other-bounds", "warning", "hopper", lambda f: spec(f, additional_wrappers=[RESCALE]), "1.0.*2.0"),
    Case("own-statistics", "error", "hopper", lambda f: spec(f, additional_wrappers=[NORMALIZE]), "^Normalize"),
    Case("no-environment", "error", "hopper", lambda f: spec(f, id="Mine-v0"), "'Mine-v0' is registered.*trust"),
    Case("unknown-environment", "note", "hopper", lambda f: spec(f, id="Mine-v0"), "'Mine-v0'"),
    Case("evaluation-differs", "note", "hopper", lambda f: spec(f, "eval_env_spec", max_episode_steps=77), "77$"),
    Case("evaluation-differs", "note", "antmaze", lambda f: spec(f, "eval_env_spec", kwargs={"maze_map": WALLS}),
         "other walls"),
    Case("evaluation-differs", "note", "antmaze", lambda f: spec(f, "eval_env_spec", kwargs={"maze_map": GOALS}),
         "same walls"),
    Case("longer-than-limit", "warning", "hopper", lambda f: spec(f, max_episode_steps=10), "11 of 11.*up to 12"),
    Case("mujoco-version", "warning", "hopper", lambda f: metadata(f, requirements=["mujoco==2.3.7"]), "mujoco==2.3.7"),
    Case("requirement-differs", "note", "hopper", lambda f: metadata(f, requirements=["numpy<1", "no-such-package"]),
         r"numpy<1 \(here [\d.]+\), no-such-package \(here not installed\)$"),
    Case("no-reference-scores", "note", "hopper", lambda f: spec(f, id="Mine-v0")),
    Case("no-reference-scores", "note", "hopper", lambda f: spec(f, kwargs={"healthy_reward": 0}), "'healthy_reward'"),
    Case("reference-scores-differ", "warning", "hopper", lambda f: metadata(f, ref_min_score=0, ref_max_score=3000),
         "0 to 3000.*3234.3 .D4RL"),
    Case("success-unknown", "note", "door", drop_infos),
    Case("antmaze-v0", "error", "antmaze", rename("D4RL/antmaze/umaze-diverse-v0")),
    Case("antmaze-jumps", "error", "antmaze", arrays(put_back), "1 of 3.*up to 4.*episode_0 at step 9"),
    Case("antmaze-reward", "error", "antmaze", arrays(put("rewards", slice(None), 0), 1), r"3 of 9 "),
    Case("antmaze-reward", "error", "antmaze", arrays(lambda v: v.update(rewards=np.roll(v["rewards"], 1)), None)),
    Case("antmaze-first-goal", "warning", "antmaze", arrays(put("observations/desired_goal", 0, 1.0), 2), "2 of 3"),
    Case("antmaze-after-goal", "warning", "antmaze", arrays(stand_at_the_goal, None), "63 of 120 .*stands still"),
    Case("pen-steps", "warning", "pen", lambda f: lengthen(f), "2 episodes of up to 100 steps and 1 .* 140"),
]  # fmt: skip


def lengthen(folder: Path) -> None:
    """Forty more steps for the first episode."""

    def change(values: dict[str, np.ndarray]) -> None:
        for path, value in values.items():
            more = np.zeros(40, bool) if value.dtype == bool else value[:40] + 0.01
            values[path] = np.concatenate([more, value])

    arrays(change)(folder)
