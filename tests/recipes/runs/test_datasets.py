"""Which data a run trains on: those that were asked for, or others of the same environment after a clear line."""

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from transfer import registry
from transfer.data.episodes import Episodes
from transfer.envs.bundled.making import make_dataset
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.recipes.matrix.points import is_matrix
from transfer.recipes.runs.checks import stand_in
from transfer.recipes.runs.datasets import Data, filtered, load, obtain
from transfer.recipes.runs.prepare import check_apart
from transfer.recipes.runs.used import read_used
from transfer.recipes.settings.config import load_config
from transfer.recipes.settings.presets import own_copy, preset_text, presets
from transfer.recipes.settings.sections import DataConfig
from transfer.registry import PartSpec

Transfer = Callable[..., Result]
Refused = Callable[..., None]
MAIN = "hopper-to-walker2d"
ASKED = ("mujoco/walker2d/medium-v0", "mujoco/walker2d/expert-v0")

pytestmark = pytest.mark.usefixtures("workplace")


def bring(root: Path, ids: Sequence[str]) -> None:
    """Put datasets with these remote ids into a datasets folder, made of the bundled ones."""
    for one in ids:
        _, environment, label = one.split("/")
        shutil.copytree(root / "bundled" / environment / label, root / one)
        file = root / one / "data" / "metadata.json"
        content = json.loads(file.read_text(encoding="utf-8")) | {"dataset_id": one}
        file.write_text(json.dumps(content), encoding="utf-8")


def test_parts_are_tried_on_stand_ins_for_observations_with_keys_too() -> None:
    found = stand_in(environment("antmaze-umaze"))
    assert found.state_size == 31 and [one.name for one in found.env_spec.slices] == ["observation", "goal", "position"]


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize(
    ("section", "data", "closest"),
    [
        ("target", "swing/enrgy-v0", "swing/energy-v0"),  # a local one
        ("target", "mujoco/walker2d/medum-v0", "mujoco/walker2d/medium-v0"),  # one of Minari's
        ("target", "bundled/walker2d/medium-v0,mujoco/walker2d/expret-v0", "mujoco/walker2d/expert-v0"),
        ("source", "mujoco/hoper/medium-v0", "mujoco/hopper/medium-v0"),
    ],
)
@pytest.mark.parametrize("way", ["--set", "TOML"])
def test_an_unknown_dataset_is_refused_whatever_the_fallback(
    way: str,
    section: str,
    data: str,
    closest: str,
    network: bool,
    own_data: Path,
    tiny: list[str],
    transfer: Transfer,
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(own_data / "bundled/walker2d/expert-v0", own_data / "swing/energy-v0")
    monkeypatch.setattr("transfer.recipes.runs.datasets.fetch", lambda ids: pytest.fail(f"{ids} were asked for"))
    monkeypatch.setattr("transfer.envs.minari.download.remote_reachable", lambda: network)
    preset, options = MAIN, [f"--set={section}.data={data}"]
    if way == "TOML":
        text = preset_text(MAIN)
        before = text[text.index("data = [", text.index(f"[{section}]")) :].partition("\n")[0]
        (tmp_path / "my.toml").write_text(text.replace(before, f"data = {json.dumps(data.split(','))}"))
        preset, options = str(tmp_path / "my.toml"), []
    result = transfer("run", preset, *tiny, *options, "--modes", "embeddings", "--runs-dir", tmp_path / "runs")
    refused(result, "unknown dataset", f"Did you mean '{closest}'?", "transfer data ls")
    assert not (tmp_path / "runs").exists()


def test_data_that_minari_offers_are_downloaded_although_there_is_a_fallback(
    own_data: Path, tiny: list[str], transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.recipes.runs.datasets.fetch", lambda ids: bring(own_data, ids))
    result = transfer("run", MAIN, *tiny, "--modes", "embeddings", "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert f"{', '.join(ASKED)}: not on this machine, so asked for at Minari" in result.stderr
    assert "fallback" not in result.output
    run = tmp_path / "runs" / MAIN
    assert read_used(run / "config.toml")["target"].data == ASKED
    assert json.loads((run / "embeddings/0/results.json").read_text())["dataset_ids"] == list(ASKED)


def test_a_fallback_of_the_same_environment_is_said_and_kept_beside_what_was_asked_for(
    own_data: Path, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    options = ["run", MAIN, *tiny, "--modes", "embeddings", "--runs-dir", tmp_path / "runs"]
    result = transfer(*options)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("[target]")]
    assert "'mujoco/walker2d/medium-v0'" in line and "huggingface.co cannot be reached" in line
    assert line.endswith("The fallback of the same environment is used instead: walker2d/medium-expert")
    run = tmp_path / "runs" / MAIN
    table = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    assert (table["target"]["data"], table["target"]["fallback"]) == (list(ASKED), "walker2d/medium-expert")
    assert table["used"]["target"]["data"] == ["walker2d/medium-expert"]
    note = f"{MAIN} asked for {', '.join(ASKED)} under [target]; not to be had, so the fallback was used: walker2d"
    assert note in result.stdout and note in (run / "report.md").read_text(encoding="utf-8")
    # The run keeps what it began with, even when what it asked for arrives later.
    bring(own_data, ASKED)
    again = transfer(*options, "--resume", "--modes", "embeddings,mlp")
    assert again.exit_code == 0, again.output
    assert json.loads((run / "mlp/0/results.json").read_text())["dataset_ids"][0] == "bundled/walker2d/medium-v0"
    fresh = transfer("run", run, "--name", "fresh", "--runs-dir", tmp_path / "runs")  # another run looks for itself
    assert fresh.exit_code == 0 and read_used(tmp_path / "runs/fresh/config.toml")["target"].data == ASKED


@pytest.mark.parametrize(("section", "fallback"), [("target", "hopper/medium"), ("source", "walker2d/medium")])
def test_a_fallback_of_another_environment_is_refused(
    section: str, fallback: str, own_data: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    options = ["--modes", "embeddings", "--set", f"{section}.fallback={fallback}", "--runs-dir", tmp_path / "runs"]
    result = transfer("run", MAIN, *tiny, *options)
    refused(result, "cannot be reached", f"The fallback {fallback} is of", "so it is not used")
    assert not (tmp_path / "runs").exists()


def test_what_is_at_hand_is_taken_without_a_word(own_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(own_data, ASKED)
    monkeypatch.setattr("transfer.recipes.runs.datasets.fetch", lambda ids: pytest.fail("data was asked for"))
    said: list[str] = []
    assert obtain("target", DataConfig(ASKED, "walker2d/medium-expert"), None, said.append) == ASKED
    assert obtain("target", DataConfig((), "walker2d/medium"), None, said.append) == ("walker2d/medium",)
    assert not said


def test_a_run_does_not_go_on_with_other_data(
    own_data: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    options = ["run", MAIN, *tiny, "--runs-dir", tmp_path / "runs"]
    assert transfer(*options, "--modes", "embeddings").exit_code == 0
    run = tmp_path / "runs" / MAIN
    kept, before = (run / "config.toml").read_bytes(), read_used(run / "config.toml")["target"].content
    make_dataset("walker2d/medium-expert", steps=300, seed=7, overwrite=True)
    result = transfer(*options, "--modes", "embeddings,full", "--resume")
    refused(result, "the data of [target], walker2d/medium-expert, changed", before[:12], "--name")
    assert (run / "config.toml").read_bytes() == kept and not (run / "full").exists()


@pytest.mark.parametrize(
    "table",
    ["used = 3", "[used]\nother = {}", "[used]\ntarget = {data = [], content = 'a'}", "[used.target]\ndata = [3]"],
)
def test_an_edited_record_of_the_data_is_refused(table: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(table)
    with pytest.raises(TransferError, match="was edited"):
        read_used(tmp_path / "config.toml")


@pytest.mark.parametrize("name", [name for name in presets() if not is_matrix(name)])
def test_a_copy_of_a_preset_has_no_fallback_and_is_otherwise_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(own_copy(name), encoding="utf-8")
    mine, shipped = load_config(str(tmp_path / "my.toml")), load_config(name)
    for one, other in zip((*mine.source, mine.target), (*shipped.source, shipped.target), strict=True):
        assert one == replace(other, fallback="")
    assert (mine.adapt, mine.eval, mine.trunk, mine.run) == (shipped.adapt, shipped.eval, shipped.trunk, shipped.run)


@pytest.mark.parametrize("lengths", [[4] * 30, [10] * 6])
def test_held_out_episodes_are_the_same_for_every_number_of_episodes(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = np.arange(sum(lengths))
    states, actions = np.ones((len(steps), 3)) * steps[:, None], np.ones((len(steps), 1))
    everything = Episodes.from_arrays(states, actions, steps, lengths, "Pendulum-v1")
    monkeypatch.setattr("transfer.recipes.runs.datasets.load_episodes", lambda *_: everything)

    def loaded(count: int) -> Data:
        return load("target", DataConfig(("a/b-v0",), episodes=count), ["a/b-v0"], None, lambda _: None, hold=True)

    found = {count: loaded(count) for count in (2, 5, 0)}
    used = {count: set(one.episodes.states[:, 0]) for count, one in found.items()}
    assert used[2] < used[5] < used[0] and [len(found[count].episodes) for count in (2, 5)] == [2, 5]
    for one in found.values():
        assert one.held_out is not None and found[0].held_out is not None
        assert one.held_out.content_hash == found[0].held_out.content_hash
        assert not {*one.held_out.states[:, 0]} & {*one.episodes.states[:, 0]}
    assert set(found[5].episodes.returns) < set(everything.returns)
    with pytest.raises(TransferError, match="has, behind those held out, "):
        loaded(31)


def none_of(episodes: Any, *, steps: int = 5000) -> Any:
    return episodes.pick([])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            none_of,
            "the filter 'mine' (steps = 5000) of [target] leaves nothing of the 2 episodes of mine/own-v0: episod",
        ),
        (
            lambda episodes: None,
            "the filter 'mine' of [target] leaves nothing of the 2 episodes of mine/own-v0: what it",
        ),
        (lambda episodes: [0], "leaves nothing of the 2 episodes of mine/own-v0: what it returns is of type list; Epi"),
    ],
)
def test_a_filter_that_leaves_no_episodes_is_named(kind: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["filter"], "mine", kind)
    data = Episodes.from_arrays(
        np.zeros((8, 11)), np.zeros((8, 3)), np.ones(8), [4, 4], "Hopper-v5", name="mine/own-v0"
    )
    with pytest.raises(TransferError, match=re.escape(said)):
        filtered("target", DataConfig(filter="mine"), data)


def two_of_one(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Data]:
    """load(key, ids, filter): episodes of 30 of mine/a, and of 15 of mine/b, some held out."""
    lengths = {"mine/a-v0": [4] * 30, "mine/b-v0": [4] * 15}
    each = {
        name: Episodes.from_arrays(
            np.arange(sum(some) * 3.0).reshape(-1, 3) + len(some),
            np.ones((sum(some), 1)),
            np.arange(sum(some)),
            some,
            "Pendulum-v1",
            name=name,
        )
        for name, some in lengths.items()
    }
    monkeypatch.setattr(
        "transfer.recipes.runs.datasets.load_episodes", lambda names, *_: Episodes.join([each[name] for name in names])
    )

    def load_it(key: str, *names: str, filter: Any = None) -> Data:
        return load(key, DataConfig(names, filter=filter), names, None, lambda _: None, hold=True)

    return load_it


def test_what_is_held_out_is_held_out_of_every_body_with_these_data(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = two_of_one(monkeypatch)
    whole = loads("source", "mine/a-v0")
    best = loads("target", "mine/a-v0", filter=PartSpec("best-episodes", {"share": 0.5}))
    assert whole.held_out is not None and best.held_out is not None and len(best.episodes) < len(whole.episodes)
    assert {*best.held_out.states[:, 0]} < {*whole.held_out.states[:, 0]}
    assert not {*best.held_out.states[:, 0]} & {*whole.episodes.states[:, 0]}
    check_apart({"source": whole, "target": best})
    check_apart({"source": whole, "target": loads("target", "mine/b-v0")})
    with pytest.raises(
        TransferError, match=r"\[source\] and \[target\] both hold mine/a-v0, and not the same episodes"
    ):
        check_apart({"source": loads("source", "mine/a-v0", "mine/b-v0"), "target": best})


def test_an_environment_of_another_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    walker = Episodes.from_arrays(
        np.zeros((8, 17)), np.zeros((8, 6)), np.ones(8), [4, 4], "Walker2d-v5", name="mine/w-v0"
    )
    cheetah = replace(walker, env_spec=environment("halfcheetah"))
    monkeypatch.setattr(
        "transfer.recipes.runs.datasets.load_episodes", lambda names, env=None: cheetah if env else walker
    )
    with pytest.raises(
        TransferError, match="env = 'HalfCheetah-v5' is another body than that of mine/w-v0, Walker2d-v5"
    ):
        load("target", DataConfig(("mine/w-v0",), env="HalfCheetah-v5"), ["mine/w-v0"], None, lambda _: None)
    spec = cheetah.env_spec
    own = replace(cheetah, env_spec=replace(spec, gym_spec=spec.gym_spec.replace("HalfCheetah-v5", "Heavy-v0")))
    monkeypatch.setattr("transfer.recipes.runs.datasets.load_episodes", lambda names, env=None: own if env else walker)
    data = load("target", DataConfig(("mine/w-v0",), env="my:Heavy-v0"), ["mine/w-v0"], None, lambda _: None)
    assert data.episodes is own
