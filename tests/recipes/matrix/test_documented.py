"""docs/SETTINGS.md on `[matrix]`: its example is read, and its table has every key."""

import re
from pathlib import Path

from transfer.recipes.matrix.points import counts, load_matrix
from transfer.recipes.settings.layers import MATRIX_KEYS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
SECTION = TEXT[TEXT.index("## Many runs") : TEXT.index("## What is asked for")]


def test_the_example_is_a_matrix(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    (tmp_path / "bodies.toml").write_text(example, encoding="utf-8")
    matrix, quick = (load_matrix(str(tmp_path / "bodies.toml"), quick=one) for one in (False, True))
    assert matrix is not None and quick is not None
    assert counts(matrix) == (2 * 2 * 2 * 2, 2 * 2 * 5, 16 * 4 * 5) and counts(quick) == (8, 2, 8 * 4)
    assert "hopper+walker2d-to-ant-10-episodes-trunk.width=256" in [one.label for one in matrix.points]
    assert "hopper+walker2d-to-ant-10-episodes-trunk.width=256" in SECTION


def test_the_table_has_every_key() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", SECTION, re.MULTILINE)) == MATRIX_KEYS
