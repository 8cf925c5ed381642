"""transfer merge: a folder with the merged trunk and its adapter, which plays the same episodes."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from transfer import Adapter, TransferModel, Trunk, evaluate
from transfer.recipes.cli.commands import cli
from transfer.recipes.programs.modes import find_modes


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """An adapter with IA3 vectors beside its trunk."""
    import numpy as np

    from transfer import Episodes, TrainConfig, TrunkConfig, adapt, pretrain

    rng = np.random.default_rng(0)
    data = Episodes.from_arrays(
        rng.normal(size=(40, 11)), rng.uniform(-1, 1, (40, 3)), rng.random(40), [10] * 4, "Hopper-v5"
    )
    config = TrainConfig(4, 4, lr=0.05, context=4, log_every=4, save_every=4)
    trunk = pretrain(data, config=config, trunk_config=TrunkConfig(16, 2, 2)).trunk
    assert find_modes(["ia3"])[0].parts == ("tuning",)
    for name in ("embeddings+ia3", "embeddings"):
        result = adapt(trunk, data, name, config=config)
        result.adapter.save(tmp_path / name / "adapter")
        trunk.save(tmp_path / name / "trunk")
    return tmp_path


def test_the_merged_pair_plays_the_same_episodes(saved: Path) -> None:
    out = saved / "merged"
    done = CliRunner().invoke(cli, ["merge", str(saved / "embeddings+ia3"), "--out", str(out)])
    assert done.exit_code == 0 and f"transfer eval {out / 'adapter'}" in done.output
    returns = []
    for home in (saved / "embeddings+ia3", out):
        trunk = Trunk.load(home / "trunk")
        model = TransferModel(trunk, Adapter.load(home / "adapter", trunk))
        returns.append(evaluate(model, None, 2, target_return=100.0).returns)
    assert returns[0] == pytest.approx(returns[1], rel=1e-3)
    assert "tuning" not in Adapter.load(out / "adapter").parts()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("embeddings", "has no tuning: there is nothing to merge"),
        ("nowhere", "nowhere"),
        (".", "holds no trained adapter"),
    ],
)
def test_what_cannot_be_merged_is_refused_and_nothing_is_written(saved: Path, path: str, message: str) -> None:
    done = CliRunner().invoke(cli, ["merge", str(saved / path), "--out", str(saved / "merged")])
    assert done.exit_code == 2 and message in done.output.replace("\n", " ")
    assert not (saved / "merged").exists()


def test_a_folder_that_exists_is_left_as_it_is(saved: Path) -> None:
    (saved / "merged").mkdir()
    done = CliRunner().invoke(cli, ["merge", str(saved / "embeddings+ia3"), "--out", str(saved / "merged")])
    assert done.exit_code == 2 and "exists and is left as it is" in done.output
    assert list((saved / "merged").iterdir()) == []
