"""docs/EXTENDING.md: its files, installed as another package, and its example, run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "EXTENDING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.S)
LONGEST = 40  # lines of a part


def test_each_part_is_one_short_file_and_the_example_uses_them_all(tmp_path: Path, tiny_data: Path) -> None:
    files = {match[1]: block for block in BLOCKS if (match := re.match(r"# (my_parts/\S+)\n", block))}
    assert set(files) == {
        f"my_parts/{name}.py" for name in ("__init__", "action", "method", "tuning", "filters", "logger")
    }
    for name, text in files.items():
        assert text.count("\n") < LONGEST, name
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    value = re.search(r'"transfer\.plugins"\]\nmine = "(.*)"', PAGE)
    assert value is not None
    info = tmp_path / "my_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[transfer.plugins]\nmine = {value[1]}\n", encoding="utf-8")
    example = re.sub("bundled/(.*?)/medium-v0", r"\1/medium-expert", BLOCKS[-1])  # what the tests have at hand
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    env = {**os.environ, "PYTHONPATH": path, "MINARI_DATASETS_PATH": str(tiny_data), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", example], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"AdaptResult\(walker2d: .* parameters trained, loss .*\)\n", done.stdout), done.stdout
    rows = (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows if ",train/loss," in row] == ["10", "20"]
    assert any(",train/loss/action," in row for row in rows)
