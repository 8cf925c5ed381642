"""What was trained is saved before it is played: an environment that fails costs an evaluation, never a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv

from tests.run_files import cell

Transfer = Callable[..., Result]
MAIN = "hopper-to-walker2d"
MODES = "embeddings,full,mlp"

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture(scope="module")
def unbroken(workplace: Path, tiny: list[str], transfer: Transfer) -> Path:
    """The folder of a run in which nothing failed."""
    result = transfer("run", MAIN, *tiny, "--modes", MODES, "--name", "unbroken")
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "unbroken"


def fail_once(patch: pytest.MonkeyPatch, body: type, step: int) -> None:
    """Let an environment fail at one of its steps, counted over all episodes."""
    original, left = body.step, [step]  # type: ignore[attr-defined]

    def broken(self: Any, action: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the sensor broke")
        return original(self, action)

    patch.setattr(body, "step", broken)


# A calibration has 5 episodes, an evaluation 2, each over after 20 steps at the latest.
@pytest.mark.parametrize(
    ("body", "step", "mode"),
    [
        (HopperEnv, 3, "pretrain"),
        (HopperEnv, 112, "pretrain"),
        (Walker2dEnv, 3, "embeddings"),
        (Walker2dEnv, 290, "mlp"),
    ],
)
def test_an_environment_that_fails_once_costs_no_training(
    body: type,
    step: int,
    mode: str,
    unbroken: Path,
    tiny: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    lasting: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        fail_once(patch, body, step)
        stopped = transfer("run", MAIN, *tiny, "--modes", MODES, "--name", "walk", "--runs-dir", tmp_path)
    run, home = tmp_path / "walk", cell(tmp_path / "walk", mode)
    refused(stopped, "episode of seed", "RuntimeError: the sensor broke")
    refused(stopped, f"what was trained is kept in {home}", f"`transfer run {run} --resume`")
    assert f"stopped before the evaluation: {home.parent.name}/0" in transfer("show", run).stdout
    assert "Trained, and stopped before its evaluation. Finish it with" in transfer("show", home).stdout
    played = transfer("eval", home, "--episodes", 1, "--targets", "max")
    assert played.exit_code == 0 and "score" in played.stdout, played.output
    resumed = transfer("run", run, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert f"{mode} seed 0: trained before, goes on" in resumed.stderr
    assert f"{mode} seed 0 trains" not in resumed.stderr
    assert lasting(run) == lasting(unbroken)


def test_an_environment_that_cannot_be_built_is_noticed_before_the_first_step(
    unbroken: Path,
    tiny: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data are packed in the cache by the run before, so that nothing about them needs the environment."""

    def fail(self: object, *args: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'my_simulator'")

    monkeypatch.setattr(Walker2dEnv, "__init__", fail)
    monkeypatch.setattr("transfer.recipes.cells.train.pretrain", lambda *_, **__: pytest.fail("it trained"))
    result = transfer("run", MAIN, *tiny, "--modes", MODES, "--runs-dir", tmp_path)
    refused(result, "[target] the run could not play what it trains", "No module named 'my_simulator'")
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_stopped_in_training_says_so(
    tiny: list[str],
    transfer: Transfer,
    refused: Callable[..., None],
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transfer.recipes.cells.recorder.Recorder.log", interrupt)
        transfer("run", MAIN, *tiny, "--modes", MODES, "--name", "walk", "--runs-dir", tmp_path)
    for path in (tmp_path / "walk", tmp_path / "walk/trunk/0"):
        refused(transfer("eval", path), "holds no trained adapter", f"transfer run {tmp_path / 'walk'} --resume")
    refused(transfer("show", tmp_path / "walk/trunk/0"), f"transfer run {tmp_path / 'walk'} --resume")
