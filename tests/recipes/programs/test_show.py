import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from transfer.adapters.build import build_adapter
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.cli.commands import cli
from transfer.recipes.programs.show import summary
from transfer.storage.fingerprints import fingerprint


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trunk, int]:
    """A folder with trunk/ and adapter/, the trunk, and the numbers that the adapter's tensors hold."""
    rng = np.random.default_rng(0)
    arrays = (rng.normal(size=(40, 11)), rng.uniform(-1, 1, size=(40, 3)), rng.normal(size=40))
    episodes = Episodes.from_arrays(*(a.astype(np.float32) for a in arrays), [20, 20], environment("hopper"))
    folder = tmp_path_factory.mktemp("saved")
    trunk = Trunk(TrunkConfig(width=16, depth=2, heads=2))
    trunk.save(folder / "trunk")
    adapter = build_adapter(episodes, trunk.config, tuning=True)
    adapter.made_on(trunk)
    adapter.save(folder / "adapter")
    return folder, trunk, sum(tensor.numel() for tensor in adapter.state_dict().values())


def test_a_trunk(saved) -> None:
    folder, trunk, _ = saved
    facts = summary(folder / "trunk")
    assert facts["kind"] == "trunk" and facts["fingerprint"] == fingerprint(trunk)
    assert facts["numbers"] == sum(p.numel() for p in trunk.parameters())
    assert facts["parts"]["returns"]["numbers"] == 2 * 16


def test_an_adapter(saved) -> None:
    folder, trunk, numbers = saved
    facts = summary(folder / "adapter")
    assert facts["trunk"] == fingerprint(trunk) and facts["environment"] == "hopper"
    assert facts["numbers"] == numbers and facts["bytes"] == sum(part["bytes"] for part in facts["parts"].values())
    assert set(facts["trainable"]) == {"state", "action", "tuning"}
    assert facts["parts"]["tuning"]["numbers"] == 2 * (2 * 16 + 4 * 16)


def test_text_and_json_on_the_command_line(saved) -> None:
    folder, trunk, _ = saved
    text = CliRunner().invoke(cli, ["show", str(folder / "adapter")]).stdout
    for word in (fingerprint(trunk), "state 11, action 3", "trainable", "ia3", "table D4RL"):
        assert word in text
    both = CliRunner().invoke(cli, ["show", str(folder)]).stdout
    assert both.startswith("trunk") and "for trunk" in both
    shown = CliRunner().invoke(cli, ["show", str(folder / "trunk"), "--json"])
    assert json.loads(shown.stdout) == summary(folder / "trunk")


def test_a_run_lists_its_cells_and_how_to_finish_it(saved, make_cell) -> None:
    import shutil

    folder, trunk, _ = saved
    make_cell("pretrain", 0, [1000.0])
    run = make_cell("embeddings", 0, [400.0])
    (run / "config.toml").write_text("")
    shutil.copytree(folder / "adapter", run / "embeddings" / "0" / "adapter")
    shutil.copytree(folder / "trunk", run / "trunk" / "0" / "trunk")
    (run / "full" / "0").mkdir(parents=True)
    facts = summary(run)
    assert list(facts["trunks"]) == ["trunk/0"] and facts["trunks"]["trunk/0"]["fingerprint"] == fingerprint(trunk)
    assert facts["cells"]["embeddings/0"]["mean_score"] == 40.0
    assert facts["unfinished"] == ["full/0"] and "--resume" in facts["next"]
    text = CliRunner().invoke(cli, ["show", str(run)]).stdout
    assert "score 40.0 (D4RL)" in text and "trunk unchanged" in text and "not finished full/0" in text
    assert summary(run / "embeddings" / "0")["kind"] == "cell"
    assert "result" in CliRunner().invoke(cli, ["show", str(run / "embeddings" / "0")]).stdout


def test_damage_and_strangers_are_errors(saved, tmp_path: Path) -> None:
    folder, _, _ = saved
    with pytest.raises(TransferError, match="transfer ls"):
        summary(tmp_path / "none")
    with pytest.raises(TransferError, match=r"no trunk\.json"):
        summary(tmp_path)
    (tmp_path / "trunk.json").write_bytes((folder / "trunk" / "trunk.json").read_bytes())
    with pytest.raises(TransferError, match="not a whole"):
        summary(tmp_path)
    whole = (folder / "trunk" / "trunk.safetensors").read_bytes()
    for damaged in (whole[:-1], whole[:5], b"", b"\xff" * 100):
        (tmp_path / "trunk.safetensors").write_bytes(damaged)
        with pytest.raises(TransferError, match="damaged"):
            summary(tmp_path)


def test_a_training_whose_weights_are_gone(run: Path, tmp_path: Path) -> None:
    for name in ("results.json", "timing.json"):
        (tmp_path / name).write_bytes((run / "embeddings/0" / name).read_bytes())
    shown = CliRunner().invoke(cli, ["show", str(tmp_path)])
    assert shown.exit_code == 0 and shown.stdout.startswith("result       walker2d score"), shown.output


WRONG = ["x", {"asked": [1.0]}, {"asked": "1", "achieved": [], "success": 0, "episodes": 1}]


@pytest.mark.parametrize("calibration", WRONG, ids=["text", "keys", "no lists"])
def test_an_edited_calibration_is_named_with_its_file(saved, calibration: object, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved[0] / "adapter", tmp_path / "adapter"))
    content = json.loads((folder / "adapter.json").read_text())
    content["statistics"]["calibration"] = calibration
    (folder / "adapter.json").write_text(json.dumps(content))
    for options in ([], ["--json"]):
        result = CliRunner().invoke(cli, ["show", str(folder), *options])
        assert result.exit_code == 2 and result.stdout == ""
        assert "adapter.json was edited: the calibration" in result.stderr
