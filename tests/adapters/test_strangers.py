"""Plug-ins of other packages: kinds through an entry point, equal to ours to the byte, and what is wrong with some."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "their_lora.py": "adapters/tuning/lora.py",
    "their_udrl.py": "adapters/methods/udrl.py",
    "their_horizon.py": "adapters/conditions/horizon.py",
}
KINDS = """
KINDS = {
    "tuning": {"%s": "strangers.their_lora:LoRA"},
    "method": {"%s": "strangers.their_udrl:UDRL"},
    "column": {"horizon": "strangers.their_horizon:steps_to_go"},
}
"""
TRAIN = """
import sys
import numpy as np
import torch
import transfer.adapters
removed, method, tuning, folder = sys.argv[1:]
if removed == "yes":
    del transfer.adapters.KINDS["method"]["udrl"], transfer.adapters.KINDS["tuning"]["lora"]
    del transfer.adapters.KINDS["column"]["horizon"]
from transfer import AdapterConfig, Episodes, TrainConfig, TrunkConfig, adapt, pretrain
torch.set_num_threads(1)
rng = np.random.default_rng(0)
data = Episodes.from_arrays(
    rng.normal(size=(40, 11)), rng.uniform(-1, 1, (40, 3)), rng.random(40), [10] * 4, "Hopper-v5"
)
config = TrainConfig(6, 4, context=4, log_every=6, save_every=6)
first = pretrain(data, method=method, config=config, trunk_config=TrunkConfig(32, 2, 2), precision="float32")
kinds = AdapterConfig(tuning={"kind": tuning, "rank": 2})
result = adapt(first.trunk, data, "embeddings+tuning", config=config, adapter_config=kinds, precision="float32")
result.model.trunk.save(folder)
result.adapter.save(folder)
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with a package of somebody else's, installed: `strangers`, with copies of files of ours."""
    package = tmp_path / "site" / "strangers"
    package.mkdir(parents=True)
    for name, ours in OURS.items():
        text = (ROOT / ours).read_text(encoding="utf-8")
        (package / name).write_text(
            text.replace("transfer.adapters.conditions.horizon", "strangers.their_horizon"), encoding="utf-8"
        )
    (package / "__init__.py").write_text(KINDS % ("their-lora", "their-udrl"), encoding="utf-8")
    install(tmp_path / "site", "strangers-parts", "strangers:KINDS")
    return tmp_path / "site"


def install(site: Path, name: str, value: str) -> None:
    """What pip leaves of a distribution with one entry point."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[transfer.plugins]\nparts = {value}\n", encoding="utf-8")


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)]), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, cwd=site)


def test_a_stranger_s_copy_of_ours_ends_in_equal_bytes(stranger: Path, tmp_path: Path) -> None:
    for who, arguments in (("ours", ("no", "udrl", "lora")), ("theirs", ("yes", "their-udrl", "their-lora"))):
        done = python(stranger, "-c", TRAIN, *arguments, str(tmp_path / who))
        if who == "ours" and "two plug-ins" in done.stderr:  # our column is there, too
            (stranger / "strangers" / "__init__.py").write_text(
                (KINDS % ("their-lora", "their-udrl")).replace('"horizon"', '"their-horizon"'), encoding="utf-8"
            )
            done = python(stranger, "-c", TRAIN, *arguments, str(tmp_path / who))
            (stranger / "strangers" / "__init__.py").write_text(KINDS % ("their-lora", "their-udrl"), encoding="utf-8")
        assert done.returncode == 0, done.stderr
    for name in ("trunk", "adapter"):
        one, other = (tmp_path / who / f"{name}.safetensors" for who in ("ours", "theirs"))
        assert one.read_bytes() == other.read_bytes(), name
    stored = json.loads((tmp_path / "theirs" / "adapter.json").read_text(encoding="utf-8"))
    assert stored["method"]["kind"] == "their-udrl" and stored["config"]["tuning"]["kind"] == "their-lora"
    shutil.rmtree(stranger / "strangers_parts-1.0.dist-info")
    done = python(stranger, "-m", "transfer.recipes", "show", str(tmp_path / "theirs"))
    assert done.returncode == 0, done.stderr
    load = f"import transfer; transfer.Adapter.load({str(tmp_path / 'theirs')!r})"
    done = python(stranger, "-c", load)
    assert "unknown tuning kind 'their-lora'. Did you mean 'lora'" in done.stderr


def test_a_plug_in_brings_a_planner(tmp_path: Path) -> None:
    text = 'class Mine: pass\nKINDS = {"planner": {"mine": "strangers:Mine"}}'
    (tmp_path / "strangers.py").write_text(text, encoding="utf-8")
    install(tmp_path, "strangers-parts", "strangers:KINDS")
    done = python(tmp_path, "-c", "from transfer import registry; print(registry.resolve('planner', 'mine').__name__)")
    assert done.stdout == "Mine\n", done.stderr


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"strangers.py": 'KINDS = {"tuning": {"lora": "a:B"}}'},
            "two plug-ins name a tuning kind 'lora': this library",
        ),
        ({"strangers.py": "import nothing_of_that_name"}, "cannot be imported: ModuleNotFoundError: No module named"),
        ({"strangers.py": "KIND = {}"}, "cannot be imported: AttributeError"),
        ({"strangers.py": "KINDS = 5"}, "is 5; a table such as"),
        ({"strangers.py": 'KINDS = {"checkpoint": {"mine": "a:B"}}'}, "a table such as"),
        ({"strangers.py": "import sys; sys.exit(0)"}, "cannot be imported: SystemExit: 0"),
        ({"strangers.py": 'KINDS = {"filter": {"mine": None}}'}, "target None of filter kind 'mine': a class, a funct"),
        ({"strangers.py": 'KINDS = {"filter": {"mine": "a.B"}}'}, "target 'a.B' of filter kind 'mine': a class, a fun"),
    ],
)
def test_a_plug_in_that_is_wrong_is_named(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
    install(tmp_path, "strangers-parts", "strangers:KINDS")
    done = python(tmp_path, "-m", "transfer.recipes", "run", "hopper-to-walker2d", "--quick", "--name", "never")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.replace("\n", " ") and "strangers-parts" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "cause"),
    [("import sys; sys.exit(0)", "SystemExit: 0"), ("def", "SyntaxError"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_part_that_cannot_be_imported_is_named_with_its_plug_in(text: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "strangers.py").write_text('KINDS = {"filter": {"mine": "their_filter:f"}}', encoding="utf-8")
    (tmp_path / "their_filter.py").write_text(text, encoding="utf-8")
    install(tmp_path, "strangers-parts", "strangers:KINDS")
    use = ["hopper-to-walker2d", "--set", "target.filter=mine"]
    done = python(tmp_path, "-m", "transfer.recipes", "show", *use)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, done.stderr
    assert "filter kind 'mine' of the plug-in 'parts' of strangers-parts (strangers:KINDS) is registered as" in said
    assert "their_filter:f, which cannot be imported: " + cause in said and "uninstall strangers-parts" in said


def test_two_plug_ins_of_one_name_are_both_named(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text('KINDS = {"filter": {"mine": "one:f"}}', encoding="utf-8")
        install(tmp_path, f"strangers-{name}", f"{name}:KINDS")
    done = python(tmp_path, "-c", "from transfer import registry; registry.known('filter')")
    assert "two plug-ins name a filter kind 'mine': strangers-o" in done.stderr
    assert "strangers-one" in done.stderr and "strangers-other" in done.stderr
