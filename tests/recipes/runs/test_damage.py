"""Files that were cut off or edited are named, never used, and never end in a traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Transfer = Callable[..., Result]
Refused = Callable[..., None]
MAIN = "hopper-to-walker2d"

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.mark.parametrize("kind", ["truncated", "edited", "empty", "missing"])
@pytest.mark.parametrize("name", ["trunk.safetensors", "trunk.json", "adapter.safetensors", "adapter.json"])
def test_a_damaged_checkpoint_is_named_and_never_used(
    refused: Refused, name: str, kind: str, copy: Path, transfer: Transfer, tiny: list[str]
) -> None:
    part = name.split(".")[0]
    folder = copy / "trunk" / "0" / "trunk" if part == "trunk" else copy / "embeddings" / "0" / "adapter"
    damage(folder / name, kind)
    home = folder if name != "adapter.json" or kind != "missing" else folder.parent
    gone = name == "trunk.json" and kind == "missing"  # then nobody knows that this was the one
    result = transfer("eval", copy / "embeddings" / "0", "--episodes", 1)
    refused(result, "--trunk FOLDER" if gone else str(home))
    if part == "trunk":  # a run does not go on from it either, and says how it could
        resumed = transfer("run", copy, "--resume", "--modes", "mlp,embeddings")
        refused(resumed, name, f"Remove {copy / 'trunk' / '0'}", "--resume")
        assert not (copy / "mlp").exists()


def damage(file: Path, kind: str) -> None:
    whole = file.read_bytes()
    middle = len(whole) // 2
    if kind == "missing":
        file.unlink()
    elif kind == "edited" and file.suffix == ".json":
        assert b'"format": 3' in whole
        file.write_bytes(whole.replace(b'"format": 3', b'"format": 7'))
    elif kind == "edited":  # one bit of the numbers
        file.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    else:
        file.write_bytes(whole[:middle] if kind == "truncated" else b"")


@pytest.mark.parametrize("kind", ["truncated", "empty"])
def test_damaged_results_are_noticed_before_anything_else(
    refused: Refused, kind: str, copy: Path, transfer: Transfer
) -> None:
    damage(copy / "embeddings" / "0" / "results.json", kind)
    again = f"Remove {copy / 'embeddings' / '0'}"
    refused(transfer("run", copy, "--resume", "--modes", "mlp"), "results.json", again)
    refused(transfer("report", copy), "results.json", again)
    refused(transfer("show", copy), "results.json", again)
    shutil.rmtree(copy / "embeddings" / "0")
    result = transfer("run", copy, "--resume")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("end", ["[eval]", "[adapter]", "[run]", "seeds"])
def test_a_config_that_was_cut_between_two_settings_is_refused(
    refused: Refused, end: str, copy: Path, transfer: Transfer
) -> None:
    """It is TOML still; what is gone would be a default, and be written back as if it had been asked for."""
    file = copy / "config.toml"
    half = file.read_text(encoding="utf-8").partition(f"\n{end}")[0] + "\n"
    file.write_text(half, encoding="utf-8")
    refused(transfer("run", copy, "--resume"), str(file), "cut off or edited", "--name")
    assert file.read_text(encoding="utf-8") == half


EDITS = (3, None, "x", [], {})


@pytest.mark.parametrize("name", ["trunk/0/trunk/trunk.json", "embeddings/0/adapter/adapter.json"])
def test_edited_json_is_a_message_whatever_it_says(refused: Refused, name: str, copy: Path, transfer: Transfer) -> None:
    file = copy / name
    whole = json.loads(file.read_text())
    play, show = ["eval", copy / "embeddings" / "0", "--episodes", 1], ["show", file.parent]
    before = transfer(*play).stdout
    for key in whole:
        for edit in EDITS:
            file.write_text(json.dumps({**whole, key: edit}))
            result = transfer(*play)
            assert result.stdout == before or (result.exit_code == 2 and "Error: " in result.stderr), (key, edit)
            assert transfer(*show).exit_code in (0, 2), (key, edit)
        file.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        refused(transfer(*play))


def test_edited_results_are_a_message_whatever_they_say(copy: Path, transfer: Transfer) -> None:
    file = copy / "embeddings" / "0" / "results.json"
    whole = json.loads(file.read_text())
    # two runs: a table without a plot
    commands = [["report", copy, copy], ["show", copy], ["show", file.parent]]
    for section, key in [("", key) for key in whole] + [("reference", key) for key in whole["reference"]]:
        for edit in EDITS:
            content = {**whole, section: {**whole[section], key: edit}} if section else {**whole, key: edit}
            file.write_text(json.dumps(content))
            codes = {transfer(*command).exit_code for command in commands}
            assert codes <= {0, 2}, (section, key, edit, codes)


@pytest.mark.parametrize("edit", [b"", b"[]", b'{"train_seconds": "x"}'])
def test_damaged_timings_are_no_part_of_the_result(
    refused: Refused, edit: bytes, copy: Path, transfer: Transfer
) -> None:
    (copy / "embeddings" / "0" / "timing.json").write_bytes(edit)
    refused(transfer("report", copy), "timing.json")
    (copy / "embeddings" / "0" / "timing.json").unlink()
    assert transfer("report", copy).exit_code == 0


def test_what_a_killed_write_left_is_neither_listed_nor_lost(copy: Path, transfer: Transfer) -> None:
    adapter = copy / "embeddings" / "0" / "adapter"
    (adapter / ".adapter.json.0123456789abcdef.new").write_text("{")
    spare = f".adapter.{json.loads((adapter / 'adapter.json').read_text())['tensors'][:16]}.safetensors"
    (adapter / "adapter.safetensors").rename(adapter / spare)  # a kill between the two renames of a save
    before = sorted(path.name for path in adapter.iterdir())
    assert str(adapter) in transfer("ls", "--runs-dir", copy).stdout
    for command in (["show", adapter], ["eval", adapter, "--episodes", 1]):
        result = transfer(*command)
        assert result.exit_code == 0, result.output
    assert sorted(path.name for path in adapter.iterdir()) == before  # readers change nothing
