"""Weights of the datasets of a body, in a run: what is trained on, and what is refused."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from transfer import registry
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.trunk import Trunk
from transfer.recipes.runs.datasets import load
from transfer.recipes.runs.used import read_used
from transfer.recipes.settings.sections import DataConfig
from transfer.storage.fingerprints import fingerprint

Transfer = Callable[..., Result]
Refused = Callable[..., None]
MAIN = "hopper-to-walker2d"
WEIGHTS = ["--set", 'source.data=["hopper/medium", "hopper/expert"]', "--set", "source.weights=[1, 3]"]

pytestmark = pytest.mark.usefixtures("workplace")


def test_weights_of_datasets_decide_what_is_trained_on_and_are_kept(
    own_data: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    options = ["run", MAIN, *tiny, "--modes", "embeddings", "--runs-dir", tmp_path / "runs"]
    for name, weights in (("even", WEIGHTS[:2]), ("weighted", WEIGHTS)):
        assert transfer(*options, *weights, "--name", name).exit_code == 0
    even, weighted = ((tmp_path / "runs" / name / "trunk/0/trunk") for name in ("even", "weighted"))
    assert fingerprint(Trunk.load(even)) != fingerprint(Trunk.load(weighted))
    run = tmp_path / "runs/weighted"
    assert tomllib.loads((run / "config.toml").read_text())["source"]["weights"] == [1.0, 3.0]
    assert (
        len({one.content for one in (read_used(r / "config.toml")["source"] for r in (run, run.parent / "even"))}) == 1
    )
    other = transfer(*options, *WEIGHTS[:2], "--set", "source.weights=[1, 2]", "--name", "weighted", "--resume")
    refused(other, "source.weights")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("[1]", "[source] weights: one number for each of 2 datasets is needed"),
        ("[0, 0.0]", "[source] weights are all zero"),
        ("[1, -2]", "[source] weights"),
        ("[1, nan]", "source.weights"),
        ('["a", 2]', "source.weights"),
        ("3", "[source] weights: one number for each of 2 datasets is needed"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    weights: str, said: str, own_data: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    given = [*WEIGHTS[:2], "--set", f"source.weights={weights}", "--runs-dir", tmp_path / "runs"]
    refused(transfer("run", MAIN, *tiny, *given), said)
    assert not (tmp_path / "runs").exists()


def test_weights_of_data_that_a_fallback_stands_in_for_are_refused(
    own_data: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    given = ["--set", "target.weights=[1, 3]", "--runs-dir", tmp_path / "runs"]
    refused(transfer("run", MAIN, *tiny, *given), "target.weights are those of", "the fallback walker2d/medium-expert")
    assert not (tmp_path / "runs").exists()


def test_a_filter_that_loses_weights_or_a_whole_dataset_is_refused(own_data: Path) -> None:
    def rebuilt(episodes: Episodes) -> Episodes:
        return Episodes.from_arrays(
            episodes.states, episodes.actions, episodes.rewards, episodes.lengths, episodes.env_spec
        )

    registry.register("filter", "test-rebuilt", rebuilt)
    registry.register("filter", "test-first", lambda episodes: episodes[:1])
    registry.register("filter", "test-fails", lambda episodes: 1 / 0)
    for kind, said in (
        ("test-rebuilt", "the filter 'test-rebuilt' of [target] returns episodes without their weights"),
        ("test-first", "weights give bundled/hopper/expert-v0 75% of the windows, and none of its episodes is left"),
        ("test-fails", "filter kind 'test-fails' failed: ZeroDivisionError: division by zero"),
    ):
        data = DataConfig(("hopper/medium", "hopper/expert"), filter=kind, weights=(1, 3))
        with pytest.raises(TransferError, match=re.escape(said)):
            load("target", data, data.data, None, lambda _: None)
