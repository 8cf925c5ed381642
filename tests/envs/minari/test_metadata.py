"""The environment in the metadata of a dataset: used if that runs no foreign code, or replaced by the user's."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from minari.data_collector import EpisodeBuffer

from tests.toys import toy
from transfer.data.environment.spec import as_spec
from transfer.envs.checks.doctor import check_dataset
from transfer.envs.loading import load_episodes
from transfer.errors import NotAtHand, TransferError

Write = Callable[..., str]
ID = "mine/toy-v0"


def buffers(observations: Any = None) -> list[EpisodeBuffer]:
    rng, flags = np.random.default_rng(0), np.arange(6) == 5
    seen = rng.normal(size=(7, 3)).astype(np.float32) if observations is None else observations
    actions = rng.uniform(-1, 1, (6, 2)).astype(np.float32)
    rest = {"terminations": flags, "truncations": ~flags & flags}
    return [EpisodeBuffer(observations=seen, actions=actions, rewards=rng.normal(size=6), **rest)]


@pytest.fixture
def write(minari_dataset: Write, home: Path) -> Write:
    """write(env, key=value, ...): a dataset of a toy with changed metadata; None removes a key."""

    def make(env: Any = None, **changes: Any) -> str:
        minari_dataset(ID, buffer=buffers(), env=toy(3, 2) if env is None else env)
        file = home / "datasets" / ID / "data" / "metadata.json"
        content = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        return ID

    return make


CLIP = {"name": "ClipAction", "entry_point": "gymnasium.wrappers.transform_action:ClipAction", "kwargs": {}}


def text(**changes: Any) -> str:
    return json.dumps({**json.loads(as_spec(toy(3, 2)).gym_spec), **changes})


@pytest.mark.parametrize("key", ["env_spec", "eval_env_spec"])
@pytest.mark.parametrize("spaces_too", [True, False])
def test_arrays_load_without_their_environment(
    key: str, spaces_too: bool, write: Write, home: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (home / "evilmod.py").write_text("from pathlib import Path\nPath(__file__).with_name('imported').touch()")
    monkeypatch.syspath_prepend(home)
    # Minari itself builds the environment when the metadata hold no spaces.
    gone = {} if spaces_too else {"observation_space": None, "action_space": None}
    write(**{key: text(id=f"Test{key}{spaces_too}-v0", entry_point="evilmod:Env")}, **gone)
    if not spaces_too:
        with pytest.raises(NotAtHand, match="'mine/toy-v0': no environment 'Test.*' is registered here"):
            load_episodes(ID)
    else:
        for _ in range(2):  # fresh, and from the cache
            episodes = load_episodes(ID)
            assert episodes.num_steps == 6 and episodes.env_spec.action_low == (-1.0, -1.0)
            with pytest.raises(NotAtHand, match="trust=True"):
                episodes.env_spec.make()
        assert caplog.text.count("Training works without it, scores do not") == 1
    assert not (home / "imported").exists() and "evilmod" not in sys.modules


def test_what_is_cached_is_played_in_what_is_named_now(write: Write) -> None:
    write(env_spec=text(id="TestGone-v0"))
    assert load_episodes(ID).env_spec.gym_id == "TestGone-v0"
    other = toy(3, 2, low=-0.5, high=0.5)
    for env in (other, gymnasium.make(other), as_spec(other)):
        episodes = load_episodes(ID, env=env)
        assert episodes.env_spec.gym_id == "TestToy-v0" and episodes.env_spec.action_high == (0.5, 0.5)
        assert episodes.content_hash == load_episodes(ID).content_hash
        episodes.env_spec.make().close()


def test_data_without_an_environment_take_one_by_name(write: Write) -> None:
    write(env_spec=None)
    with pytest.raises(TransferError, match=r"names no environment.*env=...\).*--env"):
        load_episodes(ID)
    with pytest.raises(
        TransferError, match="'mine/toy-v0': no environment for 'TestTooy-v0'.*Did you mean 'TestToy-v0'"
    ):
        load_episodes(ID, env="TestTooy-v0")
    with pytest.raises(TransferError, match="'mine/toy-v0': the data have states of 3.*Hopper-v5 has 11"):
        load_episodes(ID, env="Hopper-v5")
    assert load_episodes(ID, env=toy(3, 2)).env_spec.reference.table == "dataset"


def test_other_bounds_than_the_data_have_are_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    # Minari writes no spec with NumPy bounds in it.
    write(wrappers.RescaleAction(gymnasium.make(toy(3, 2)), -2.0, 2.0))  # type: ignore[arg-type]
    assert load_episodes(ID).env_spec.action_low == (-2.0, -2.0) and not caplog.records
    assert load_episodes(ID, env=toy(3, 2)).env_spec.action_low == (-1.0, -1.0)
    assert "actions between (-2.0, -2.0) and (2.0, 2.0), its environment TestToy-v0 between (-1.0, -1.0)" in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("env_spec", "{", "metadata.json cannot be used: the environment's Gymnasium spec is no JSON"),
        ("env_spec", 3, "env_spec is 3"),
        ("env_spec", text(max_episode_steps="9"), "max_episode_steps"),
        ("eval_env_spec", "[]", "Gymnasium spec is"),
        ("observation_space", "{}", "observation_space is '{}', which is no space: KeyError"),
        ("observation_space", '{"type": "Evil"}', "no space: TypeError"),
        ("action_space", '{"type": "Box", "dtype": "float32", "shape": [2], "low": [1], "high": [2, 3]}', "no space"),
        ("action_space", 3, "action_space is 3, which is no space"),
        (
            "action_space",
            '{"type": "Box", "dtype": "S1000000000", "low": [0]}',
            "no space.*numbers of type 'S1000000000'",
        ),
        ("env_spec", text(additional_wrappers=[CLIP] * 3000), "3,000 wrappers; 100 are taken at most"),
    ],
)
def test_metadata_that_are_damaged_are_named(key: str, value: Any, message: str, write: Write) -> None:
    write(**{key: value})
    with pytest.raises(TransferError, match=f"'mine/toy-v0': .*{message}"):
        load_episodes(ID)
    if key.endswith("env_spec"):  # ignored if the user names another
        assert load_episodes(ID, env=toy(3, 2)).num_steps == check_dataset(ID, toy(3, 2)).facts["steps"] == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"ref_min_score": "x", "ref_max_score": [1]},
        {"env_spec": text(kwargs={"maze_map": [[1]]}), "eval_env_spec": text(kwargs={"maze_map": [1]})},
    ],
)
def test_values_that_no_dataset_has_are_no_end_of_a_check(changes: dict[str, Any], write: Write) -> None:
    write(**changes)
    assert check_dataset(ID).facts["steps"] == 6


def test_requirements_are_one_line_of_plain_text_in_the_log(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write(requirements=['numpy==0.1; python_version > "\033[2J"'])
    load_episodes(ID)
    assert "recorded with numpy==0.1" in caplog.text and "\033" not in caplog.text


def test_requirements_of_any_kind_are_no_error(write: Write) -> None:
    for wanted in (["numpy"], "numpy", [3, None, "no such thing!!"], {"numpy": 1}):
        write(requirements=wanted) if wanted == ["numpy"] else None
        assert load_episodes(ID).num_steps == 6


def test_a_recording_asks_for_no_window(minari_dataset: Write) -> None:
    spec = gymnasium.spec("InvertedPendulum-v5")
    env = gymnasium.make(spec, render_mode="rgb_array")
    box = spaces.Box(-3, 3, (1,), np.float32)
    seen, steps = np.zeros((4, 4)), np.zeros((3, 1), np.float32)
    flags = {"rewards": np.zeros(3), "terminations": np.zeros(3, bool), "truncations": np.arange(3) == 2}
    minari_dataset(ID, buffer=[EpisodeBuffer(observations=seen, actions=steps, **flags)], env=env, action_space=box)
    played = load_episodes(ID).env_spec
    assert "render_mode" not in played.gym_spec
    with played.make() as made:  # type: ignore[attr-defined]
        assert made.render_mode is None
