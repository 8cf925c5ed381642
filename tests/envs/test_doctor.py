"""Each code is triggered by one damage to a clean dataset, and by nothing in the clean one."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import spaces

from transfer.envs.checks.numbers import ranges
from transfer.envs.doctor import CODES, Checkup, Finding, check_dataset, render
from transfer.errors import TransferError
from transfer.specs import gym_spec_json, registered

IDS = {name: f"mine/{name}-v2" for name in ("hopper", "antmaze", "door", "pen")}
ALWAYS = {  # what is true of these environments, whatever the data
    "hopper": set(),
    "antmaze": {"no-reference-scores"},
    "door": {"adroit-reward-sign"},
    "pen": {"pen-steps"},
}


def buffer(observations: Any, actions: Any, rewards: Any, success: bool | None = None) -> Any:
    from minari.data_collector import EpisodeBuffer

    last = np.arange(len(rewards)) == len(rewards) - 1
    infos = {} if success is None else {"success": last & success}
    return EpisodeBuffer(
        observations=observations, actions=actions.astype(np.float32), rewards=rewards, terminations=last,
        truncations=np.zeros_like(last), infos=infos,
    )  # fmt: skip


def plain(rng: np.random.Generator, steps: int, sizes: tuple[int, int], success: bool | None = None) -> Any:
    states = rng.normal(size=(steps + 1, sizes[0]))
    return buffer(states, rng.uniform(-0.9, 0.9, (steps, sizes[1])), rng.normal(size=steps), success)


def walk(rng: np.random.Generator, steps: int = 40) -> Any:
    """An ant that comes 0.1 nearer each step and is at the goal (within 0.45) after the last three."""
    goal, side = rng.uniform(2, 4, 2), rng.uniform(0, 2 * np.pi)
    far = 0.4 + 0.1 * np.arange(steps - 2, -3, -1)  # (T + 1,)
    position = goal + far[:, None] * [np.cos(side), np.sin(side)]
    shown = {
        "observation": rng.normal(size=(steps + 1, 27)),
        "achieved_goal": position,
        "desired_goal": np.tile(goal, (steps + 1, 1)),
    }
    return buffer(shown, rng.uniform(-0.9, 0.9, (steps, 8)), (np.abs(far[1:]) <= 0.45).astype(np.float64))


def reach(rng: np.random.Generator, steps: int = 20) -> Any:
    """A hand before a shut door, with the reward of gymnasium-robotics before 1.4.3."""
    states = rng.normal(size=(steps + 1, 39))
    states[:, 28] = 0.01 * rng.random(steps + 1)
    rewards = 0.1 * np.linalg.norm(states[1:, 35:38], axis=1) - 0.1 * (states[1:, 28] - 1.57) ** 2
    return buffer(states, rng.uniform(-0.9, 0.9, (steps, 28)), rewards, success=True)


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datasets folder with a clean dataset of each kind; tests only read it."""
    import minari

    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("stock")
    made = {
        "hopper": ("Hopper-v5", [plain(rng, 12, (11, 3)) for _ in range(11)]),
        "antmaze": ("AntMaze_UMaze-v4", [walk(rng) for _ in range(3)]),
        "door": ("AdroitHandDoor-v1", [reach(rng) for _ in range(3)]),
        "pen": ("AdroitHandPen-v1", [plain(rng, 100, (45, 24), success=True) for _ in range(3)]),
    }
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        for name, (env, buffers) in made.items():
            minari.create_dataset_from_buffers(IDS[name], buffer=buffers, env=registered(env))
    return root


@pytest.fixture
def copied(stock: Path, home: Path) -> Path:
    """The clean datasets, copied, so that a test may damage them."""
    shutil.copytree(stock, home / "datasets")
    return home / "datasets"


def found(checkup: Checkup) -> dict[str, Finding]:
    return {one.code: one for one in checkup.findings}


def metadata(folder: Path, **changes: Any) -> None:
    """Changes the metadata of a dataset; None removes a key."""
    path = folder / "data" / "metadata.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def spec(folder: Path, key: str = "env_spec", **changes: Any) -> None:
    """Changes the environment of a dataset, or adds one for the evaluation."""
    stored = json.loads(json.loads((folder / "data" / "metadata.json").read_text())["env_spec"])
    metadata(folder, **{key: json.dumps({**stored, **changes})})


def arrays(change: Callable[[dict[str, np.ndarray]], Any], episodes: int | None = 1) -> Callable[[Path], None]:
    """Damage to the arrays of the first episodes, of all where None: they are given by path, and written back."""

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
CASES = [
    Case("no-episodes", "error", "hopper", drop_all),
    Case("empty-episodes", "error", "hopper", arrays(cut(0)), "1 of 11 .9.09 %.*; first episode_0$"),
    Case("arrays-missing", "error", "hopper", arrays(lambda values: values.pop("rewards"), 2), "2 of 11.*rewards"),
    Case("arrays-missing", "error", "antmaze", arrays(lambda values: values.pop("observations/desired_goal"))),
    Case("unsupported-spaces", "error", "hopper", lambda f: metadata(f, action_space=serialized(spaces.Discrete(2)))),
    Case("unsupported-spaces", "error", "hopper", lambda f: metadata(f, observation_space=serialized(IMAGES))),
    Case("observations-not-t-plus-1", "error", "hopper", arrays(take("observations", slice(-1))), "1 of 11"),
    Case("observations-not-t-plus-1", "error", "antmaze", arrays(take("observations/achieved_goal", slice(-1)))),
    Case("lengths-disagree", "error", "hopper", arrays(take("actions", slice(-1))), "1 of 11"),
    Case("sizes-differ", "error", "hopper", arrays(take("observations", np.s_[:, :10])), r"\(10,\) instead of \(11,\)"),
    Case("counts-disagree", "warning", "hopper", lambda f: metadata(f, total_steps=200), "200 steps, the file .* 132"),
    Case("not-finite", "error", "hopper", arrays(put("rewards", 3, np.nan), 2), "2 of 11.*2 steps of rewards"),
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
    Case("no-environment", "error", "hopper", lambda f: metadata(f, env_spec=None), "env_spec is None"),
    Case("no-environment", "error", "hopper", lambda f: spec(f, entry_point="no_such:Thing"), "no_such"),
    Case("other-environment", "error", "hopper", lambda f: metadata(f, env_spec=gym_spec_json("Walker2d-v5"))),
    Case("other-environment", "error", "antmaze", lambda f: metadata(f, env_spec=gym_spec_json("AntMaze_UMaze-v5")),
         "105 observation.*27 observation.*contact forces"),
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


@pytest.mark.parametrize("kind", IDS)
def test_a_clean_dataset_has_no_findings(copied: Path, kind: str) -> None:
    checkup = check_dataset(IDS[kind])
    assert set(found(checkup)) == ALWAYS[kind]
    assert not checkup.wrong


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.kind}-{case.severity}")
def test_a_damage_is_found(copied: Path, case: Case) -> None:
    name = case.damage(copied / IDS[case.kind]) or IDS[case.kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkup = check_dataset(name)
    finding = found(checkup)[case.code]
    assert finding.severity == case.severity
    assert re.search(case.message, finding.message)
    assert finding.advice and "\n" not in finding.message + finding.advice
    assert checkup.wrong == any(one.severity == "error" for one in checkup.findings)
    assert case.severity != "error" or checkup.wrong
    json.dumps(checkup.to_json(), allow_nan=False)
    assert f"{case.code} " in render(checkup)


def test_every_code_has_a_test() -> None:
    assert {case.code for case in CASES} | set().union(*ALWAYS.values()) == set(CODES)


@pytest.mark.parametrize(
    ("signs", "installed", "severity", "words"),
    [
        ("v1", "1.4.2", "warning", r"rewarded in the data \(seen in the numbers\), rewarded in the evaluation"),
        ("v1", "1.4.3", "error", "rewarded in the data .*, punished in the evaluation .*1.4.3"),
        ("corrected", "1.4.2", "error", "punished in the data .*, rewarded in the evaluation"),
        ("corrected", "1.4.3", None, ""),
        ("sparse", "1.4.2", None, ""),
    ],
)
def test_the_sign_of_adroit_rewards(
    copied: Path, monkeypatch: pytest.MonkeyPatch, signs: str, installed: str, severity: str | None, words: str
) -> None:
    from packaging.version import Version

    def correct(values: dict[str, np.ndarray]) -> None:
        values["rewards"] -= 0.2 * np.linalg.norm(values["observations"][1:, 35:38], axis=1)

    if signs == "corrected":
        arrays(correct, None)(copied / IDS["door"])
    if signs == "sparse":
        spec(copied / IDS["door"], kwargs={"reward_type": "sparse"})
    monkeypatch.setattr("transfer.envs.checks.adroit.installed", lambda package: Version(installed))
    finding = found(check_dataset(IDS["door"])).get("adroit-reward-sign")
    assert (finding.severity if finding else None) == severity
    assert re.search(words, finding.message if finding else "")


def test_rewards_that_are_a_step_late_are_called_that(copied: Path) -> None:
    arrays(lambda values: values.update(rewards=np.roll(values["rewards"], 1)), None)(copied / IDS["antmaze"])
    with h5py.File(copied / IDS["antmaze"] / "data" / "main_data.hdf5", "a") as file:
        for name in file:
            file[f"{name}/rewards"][0] = 0
    assert "one step late" in found(check_dataset(IDS["antmaze"]))["antmaze-reward"].message


def test_dense_rewards_are_not_compared_with_the_radius(copied: Path) -> None:
    folder = copied / IDS["antmaze"]
    arrays(put("rewards", slice(None), 0.1), 1)(folder)
    spec(folder, kwargs={"reward_type": "dense"})
    assert "antmaze-reward" not in found(check_dataset(IDS["antmaze"]))


def test_d4rl_s_own_files_have_its_radius_and_its_rewards(copied: Path) -> None:
    def reward(values: dict[str, np.ndarray]) -> None:
        goal, position = values["observations/desired_goal"], values["observations/achieved_goal"]
        values["rewards"] = (np.linalg.norm(goal - position, axis=1)[1:] <= 0.5).astype(float)
        values["rewards"][-1] = 1 - values["rewards"][-1]  # a last observation that only repeats tells nothing

    folder = copied / IDS["antmaze"]
    arrays(reward, None)(folder)
    assert found(check_dataset(IDS["antmaze"]))["antmaze-reward"].severity == "error"
    metadata(folder, imported={"file": "any.hdf5", "repeats_last_observation": True})
    assert "antmaze-reward" not in found(check_dataset(IDS["antmaze"]))
    metadata(copied / IDS["door"], imported={"file": "any.hdf5"})
    finding = found(check_dataset(IDS["door"]))["adroit-reward-sign"]
    assert finding.severity == "error" and "punished in the data (as in all of D4RL's own files)" in finding.message


def test_pen_counts_its_steps_and_names_the_limit(copied: Path) -> None:
    finding = found(check_dataset(IDS["pen"]))["pen-steps"]
    assert finding.severity == "note"
    assert finding.message.startswith("3 episodes of up to 100 steps; an evaluation here ends after 100 (")


def test_requirements_that_are_met_are_no_finding(copied: Path) -> None:
    import mujoco

    metadata(copied / IDS["hopper"], requirements=[f"mujoco=={mujoco.__version__}", "numpy>=1"])
    assert not check_dataset(IDS["hopper"]).findings


def test_scores_of_the_metadata_that_are_the_table_s_are_no_finding(copied: Path) -> None:
    metadata(copied / IDS["door"], ref_min_score=-45.80706024169922, ref_max_score=2940.578369140625)
    assert "reference-scores-differ" not in found(check_dataset(IDS["door"]))
    metadata(copied / IDS["antmaze"], ref_min_score=0, ref_max_score=1)
    assert "no-reference-scores" not in found(check_dataset(IDS["antmaze"]))


def test_facts_are_those_of_the_data(copied: Path) -> None:
    import minari

    facts = check_dataset(IDS["antmaze"]).facts
    stored = minari.load_dataset(IDS["antmaze"])
    returns = [episode.rewards.sum() for episode in stored.iterate_episodes()]
    assert facts["environment"] == "AntMaze_UMaze-v4" and facts["name"] == "antmaze-umaze"
    assert (facts["episodes"], facts["steps"]) == (stored.total_episodes, stored.total_steps)
    assert facts["state"] == "27 observation + 2 goal + 2 position numbers" and facts["action_size"] == 8
    assert facts["mean_return"] == pytest.approx(np.mean(returns)) and facts["step_limit"] == 700
    assert facts["success_rate"] == 1.0
    assert check_dataset(IDS["hopper"]).facts["success_rate"] is None


def test_a_bundled_name_stands_for_its_dataset(copied: Path) -> None:
    rename("bundled/hopper/expert-v0")(copied / IDS["hopper"])
    checkup = check_dataset("hopper/expert")
    assert checkup.dataset_id == "bundled/hopper/expert-v0" and not checkup.findings


def test_the_report_has_a_line_for_each_finding_errors_first(copied: Path) -> None:
    folder = copied / IDS["hopper"]
    both(arrays(cut(3)), arrays(put("rewards", 1, np.nan)))(folder)
    metadata(folder, requirements=["mujoco==2.3.7"])
    text = render(check_dataset(IDS["hopper"])).splitlines()
    assert text[0] == IDS["hopper"]
    lines = [line.split() for line in text if line.split()[:1] and line.split()[0] in CODES]
    assert [line[1] for line in lines] == ["error", "warning", "warning", "note"]
    assert text[-1] == "1 error, 2 warnings, 1 note: results would be wrong"


@pytest.mark.parametrize(
    ("source", "damage", "message"),
    [
        ("mine/hopper-v2", lambda f: (f / "data/main_data.hdf5").write_text("no"), "'mine/hopper-v2': .*not a whole"),
        ("mine/hopper-v2", lambda f: truncate(f / "data/main_data.hdf5"), "main_data.hdf5 is not a whole Minari HDF5"),
        ("mine/hopper-v2", lambda f: (f / "data/main_data.hdf5").unlink(), "lacks its data file.*minari download mine"),
        ("mine/hopper-v2", lambda f: (f / "data/metadata.json").write_text("{"), "metadata.json is not valid JSON"),
        ("mine/hopper-v2", lambda f: (f / "data/metadata.json").write_text("{}"), "metadata.json cannot be used"),
        ("mine/other-v0", lambda f: None, "'mine/other-v0' is not on this machine.*minari download mine/other-v0"),
        ("hopper/medium", lambda f: None, "not on this machine. Get it: transfer data make hopper/medium$"),
        ("hopper/medium-expert", lambda f: None, "2 datasets.*transfer data check bundled/hopper/medium-v0"),
        ("hoper/medium", lambda f: None, "unknown dataset 'hoper/medium'. Did you mean 'hopper/medium'"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_next_command(
    copied: Path, source: str, damage: Callable[[Path], Any], message: str
) -> None:
    damage(copied / IDS["hopper"])
    with pytest.raises(TransferError, match=message):
        check_dataset(source)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_only_documented_codes_can_be_reported() -> None:
    with pytest.raises(ValueError, match="no-such-code"):
        Finding("no-such-code", "error", "", "")


@pytest.mark.parametrize(("columns", "text"), [([4], "4"), ([0, 3, 4, 5], "0, 3-5"), ([1, 2, 9, 10], "1-2, 9-10")])
def test_columns_are_named_in_ranges(columns: list[int], text: str) -> None:
    assert ranges(columns) == text


def test_the_registry_is_not_needed_for_an_environment_of_its_own(copied: Path) -> None:
    spec(copied / IDS["hopper"], id="Mine-v0")
    with pytest.raises(gymnasium.error.NameNotFound):
        gymnasium.spec("Mine-v0")
    assert not check_dataset(IDS["hopper"]).wrong


def test_every_code_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "DATA.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        f"| `{code}` | {meaning} |" for code, meaning in CODES.items()
    ]
