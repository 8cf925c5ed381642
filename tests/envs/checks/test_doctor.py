"""Each code is triggered by one damage to a clean dataset, and not by the clean one."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest

from tests.envs.checks.damages import CASES, Case, arrays, both, cut, metadata, put, rename, spec
from transfer.data.environment.building.trust import registered
from transfer.envs.checks.doctor import CODES, Checkup, Finding, as_text, check_dataset
from transfer.envs.checks.value_checks import ranges
from transfer.errors import TransferError

IDS = {name: f"mine/{name}-v2" for name in ("hopper", "antmaze", "door", "pen")}
ALWAYS = {  # findings about the environment, with any data
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
    """An ant that moves 0.1 nearer in each step and is at the goal (within 0.45) after the last three."""
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
    """A copy of the clean datasets, which a test may damage."""
    shutil.copytree(stock, home / "datasets")
    return home / "datasets"


def found(checkup: Checkup) -> dict[str, Finding]:
    return {one.code: one for one in checkup.findings}


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
    assert f"{case.code} " in as_text(checkup)


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
    monkeypatch.setattr("transfer.envs.checks.adroit_checks.installed", lambda package: Version(installed))
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
        values["rewards"][-1] = 1 - values["rewards"][-1]  # not checked, because the last observation is repeated

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
    text = as_text(check_dataset(IDS["hopper"])).splitlines()
    assert text[0] == IDS["hopper"]
    lines = [line.split() for line in text if line.split()[:1] and line.split()[0] in CODES]
    assert [line[1] for line in lines] == ["error", "warning", "warning", "note"]
    assert text[-1] == "1 error, 2 warnings, 1 note: results would be wrong"


@pytest.mark.parametrize(
    ("source", "damage", "message"),
    [
        ("mine/hopper-v2", lambda f: (f / "data/main_data.hdf5").write_text("no"), "'mine/hopper-v2': .*is damaged"),
        (
            "mine/hopper-v2",
            lambda f: truncate(f / "data/main_data.hdf5"),
            "main_data.hdf5 is damaged, cut short or no HDF5",
        ),
        (
            "mine/hopper-v2",
            lambda f: (f / "data/main_data.hdf5").unlink(),
            "lacks its data file.*from a copy, or record it",
        ),
        ("mine/hopper-v2", lambda f: (f / "data/metadata.json").write_text("{"), "metadata.json is not valid JSON"),
        ("mine/hopper-v2", lambda f: (f / "data/metadata.json").write_text("{}"), "metadata.json cannot be used"),
        ("mine/other-v0", lambda f: None, "unknown dataset 'mine/other-v0'. Did you mean 'mine/"),
        ("D4RL/pen/human-v2", lambda f: None, "is not on this machine. Get it: minari download D4RL/pen/human-v2"),
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


@pytest.mark.parametrize(("columns", "text"), [([4], "4"), ([0, 3, 4, 5], "0, 3-5"), ([1, 2, 9, 10], "1-2, 9-10")])
def test_columns_are_named_in_ranges(columns: list[int], text: str) -> None:
    assert ranges(columns) == text


def test_an_environment_that_is_not_registered_takes_a_word(copied: Path) -> None:
    spec(copied / IDS["hopper"], id="Mine-v0")
    with pytest.raises(gymnasium.error.NameNotFound):
        gymnasium.spec("Mine-v0")
    assert check_dataset(IDS["hopper"]).wrong
    assert not check_dataset(IDS["hopper"], trust=True).wrong
    assert not check_dataset(IDS["hopper"], env="Hopper-v5").wrong


def test_spaces_that_are_not_declared_are_those_of_the_environment(copied: Path) -> None:
    metadata(copied / IDS["hopper"], observation_space=None, action_space=None)
    assert set(found(check_dataset(IDS["hopper"]))) == ALWAYS["hopper"]


def test_every_code_is_documented() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "DATA.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        f"| `{code}` | {meaning} |" for code, meaning in CODES.items()
    ]
