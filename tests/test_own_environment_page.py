"""Every block of docs/OWN_ENVIRONMENT.md runs, in the order in which a reader meets them, at small sizes."""

import re
import sys
from pathlib import Path

import gymnasium
import pytest

import transfer
from tests.test_readme import SHELL, blocks, commands, reader, run_command, shortened
from transfer.envs.dataset_ids import local_ids
from transfer.envs.loading import load_episodes
from transfer.training.train_config import TrainConfig

__all__ = ["reader"]
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "OWN_ENVIRONMENT.md"
QUICK = TrainConfig(steps=2, batch_size=2, context=4)
FORCED = {
    "pretrain": {"config": QUICK},
    "adapt": {"config": QUICK},
    "evaluate": {"num_episodes": 1},
}
FEWER = {"range(100)": "range(2)", "range(40)": "range(2)"}  # recorded episodes


def named(text: str) -> list[str]:
    """The file that each block is, "" where it is none."""
    return re.findall(r"^```\w+(?: (\S+))?[^\n]*\n(?:.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def newcomer(reader: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who follows the page."""
    for name, forced in FORCED.items():
        monkeypatch.setattr(transfer, name, shortened(getattr(transfer, name), forced))
    monkeypatch.syspath_prepend(str(reader))
    monkeypatch.delitem(sys.modules, "my_env", raising=False)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    return reader


def test_everything_on_the_page_runs(newcomer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for slow, quick in FEWER.items():
        assert slow in text
        text = text.replace(slow, quick)
    names = {"__name__": "__main__"}  # of all Python blocks together, as in one session
    ran = {"shell": 0, "python": 0, "file": 0}
    for (language, block), file in zip(blocks(text), named(text), strict=True):
        if file:
            Path(file).write_text(block, encoding="utf-8")
            ran["file"] += 1
        elif language in SHELL:
            ran["shell"] += sum(run_command(words) for words in commands(block))
        else:
            assert language == "python"
            exec(compile(block, PAGE.name, "exec"), names)
            ran["python"] += 1
    assert ran == {"shell": 7, "python": 5, "file": 2}
    assert {"mine/pendulum-v0", "mine/logged-v0", "mine/slide-v0"} <= set(local_ids())
    assert load_episodes("mine/pendulum-v0").content_hash == load_episodes("mine/logged-v0").content_hash
    assert abs(names["action"]).max() <= 2  # type: ignore[call-overload]
    said = capsys.readouterr().out
    assert "Episodes('recorded': 2 episodes, 400 steps, S=3, A=1" in said
    assert all((newcomer / "runs" / name / "report.md").is_file() for name in ("my", "slide"))


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/OWN_ENVIRONMENT.md" in (ROOT / "README.md").read_text(encoding="utf-8")
