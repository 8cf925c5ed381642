"""The C kernels: built once a processor, also for narrow vectors, and replaced by PyTorch without a compiler."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from transfer.errors import TransferError
from transfer.runtime import native
from transfer.runtime.layers.attention import causal_attention
from transfer.runtime.native import compiled

COMPARED = """
import torch, torch.nn.functional as F
from transfer.runtime import native
from tests.forcing import step_of
from tests.kinds import config_of
from transfer.adapters.build import build_adapter
from transfer.runtime.layers.attention import causal_attention
from transfer.decoding.decoder import make_decoder
from transfer.runtime.native.blocks import Blocks
from transfer.decoding.planner import make_planner
from transfer.data.episodes import Episodes
from transfer.models.sequence_model import TransferModel
from transfer.models.trunk import Trunk, TrunkConfig

assert native.fits(16) and native.library() is not None
torch.set_num_threads(1)
for length in (1, 7, 40, 70):
    parts = [torch.randn(3, length, 2, 16).transpose(1, 2).requires_grad_() for _ in range(3)]
    ours, theirs = causal_attention(*parts), F.scaled_dot_product_attention(*parts, is_causal=True)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for a, b in zip(*(torch.autograd.grad(out.sin().sum(), parts) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
trunk, tokens = Trunk(TrunkConfig(width=32, heads=2)).eval(), torch.randn(5, 40, 32)
with torch.no_grad():
    whole, decoder = trunk(tokens)[0], make_decoder(trunk, None, 5, 40)
    assert isinstance(decoder, Blocks)
    read = torch.cat([decoder.read(part, part.shape[1]) for part in tokens.split([20, 1, 1, 2, 9, 1, 6], 1)], 1)
torch.testing.assert_close(read, whole, atol=1e-5, rtol=1e-5)
states, actions = torch.randn(120, 11), torch.rand(120, 3) * 2 - 1
data = Episodes.from_arrays(states, actions, torch.rand(120), (60, 60), "Hopper-v5")
for config in (config_of(), config_of(readout="categorical"), config_of("ActionSpreadEmbedding")):
    model = TransferModel(trunk, build_adapter(data, trunk.config, config, context=6)).eval()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for rows in (5, 21):  # of which the kernel takes 8 at a time, or fewer
            one, other = (make_planner(model, rows) for _ in range(2))
            assert one.choose != one._one_by_one
            other.choose = other._one_by_one
            for step in range(14):
                seen = step_of(torch.randn(rows, 11), torch.rand(rows) * 3000, torch.full((rows,), step))
                with torch.no_grad():
                    torch.testing.assert_close(one.act(seen), other.act(seen), atol=1e-5, rtol=1e-5)
print(native.ctypes.c_int.in_dll(native.kernels(), "lanes").value)
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As in a new process with an empty cache; returns the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(native.SWITCH, raising=False)
    native.library.cache_clear()
    yield tmp_path / "embedding-swap"
    native.library.cache_clear()


@pytest.mark.usefixtures("kernels")
def test_a_library_is_built_once_and_found_again(fresh: Path) -> None:
    assert native.library() is not None
    (built,) = fresh.iterdir()
    when = built.stat().st_mtime_ns
    native.library.cache_clear()
    assert native.library() is not None and built.stat().st_mtime_ns == when


@pytest.fixture(scope="module")
def library(kernels: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels, compiled once for the tests below."""
    return compiled._compile(["cc"], tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def compilations(library: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The libraries compiled in a test; a compilation is a copy of `library`."""
    made: list[Path] = []

    def copy(compiler: list[str], scratch: Path) -> Path:
        made.append(shutil.copy(library, scratch / "kernels.so"))
        return made[-1]

    monkeypatch.setattr(compiled, "_compile", copy)
    return made


def kept(folder: Path) -> Path:
    """The one library in a cache folder, left by an earlier process."""
    assert native.library() is not None
    native.library.cache_clear()
    (built,) = folder.glob("*.so")
    return built


def replaced(library: Path, content: bytes) -> None:
    """A new file under the old name: changing the loaded file in place would crash this process."""
    library.unlink()
    library.write_bytes(content)


def cut_short(library: Path) -> None:
    replaced(library, library.read_bytes()[:4000])


def put_another_in_its_place(library: Path) -> None:
    replaced(library, b"\x7fELF" + bytes(9000))


@pytest.mark.parametrize("damage", [cut_short, put_another_in_its_place])
def test_a_library_that_is_not_whole_is_built_again(
    damage: Callable[[Path], None], fresh: Path, compilations: list[Path]
) -> None:
    damage(kept(fresh))
    assert native.library() is not None and len(compilations) == 2
    (again,) = fresh.glob("*.so")
    assert again.stat().st_size > 9004
    assert again.stem.endswith(hashlib.sha256(again.read_bytes()).hexdigest()[:32])


def open_to_all(library: Path) -> None:
    library.parent.chmod(0o777)


def writable_by_the_group(library: Path) -> None:
    library.chmod(0o664)


def somebody_elses_folder(library: Path) -> None:
    os.chown(library.parent, 54321, -1)


def somebody_elses_file(library: Path) -> None:
    os.chown(library, 54321, -1)


def a_link(library: Path) -> None:
    library.rename(library.with_name("elsewhere"))
    library.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "plant", [open_to_all, writable_by_the_group, somebody_elses_folder, somebody_elses_file, a_link]
)
def test_a_library_that_somebody_else_could_have_put_there_is_not_loaded(
    plant: Callable[[Path], None],
    fresh: Path,
    compilations: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if plant.__name__.startswith("somebody") and os.geteuid() != 0:
        pytest.skip("only an administrator gives files away")
    plant(kept(fresh))
    in_file = plant in (writable_by_the_group, somebody_elses_file, a_link)
    loaded: list[str] = []
    original = compiled.ctypes.CDLL
    monkeypatch.setattr(compiled.ctypes, "CDLL", lambda path: loaded.append(path) or original(path))
    with caplog.at_level(logging.WARNING, "transfer"):
        assert native.library() is not None
    assert len(compilations) == 2 and loaded[0].startswith(str(fresh)) == in_file
    assert ("is not loaded" if in_file else "every process compiles the C kernels again") in caplog.text
    if in_file:  # the one that was compiled took its place
        assert not compiled.distrust(Path(loaded[0])) and not Path(loaded[0]).is_symlink()


@pytest.mark.parametrize("flags", ["", "-DCACHED=20000", "-mno-avx512f", "-mno-avx"])
def test_vectors_of_every_width_compute_the_same(flags: str, tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or ("-m" in flags and os.uname().machine != "x86_64"):
        pytest.skip("no C compiler, or one for another processor")
    env = {**os.environ, "CC": f"{compiler} {flags}", "XDG_CACHE_HOME": str(tmp_path), native.SWITCH: "on"}
    env["PYTHONPATH"] = str(Path(__file__).parents[4])  # a module of tests is imported, which is not installed
    done = subprocess.run([sys.executable, "-c", COMPARED], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in {"-mno-avx512f": (8,), "-mno-avx": (4,)}.get(flags, (4, 8, 16))


@pytest.mark.parametrize("flags", [["-march=native"], ["-mno-avx"]])
def test_no_kernel_reads_or_writes_beyond_its_memory(flags: list[str], tmp_path: Path) -> None:
    compiler, program = shutil.which(os.environ.get("CC", "cc")), tmp_path / "sanitized"
    if compiler is None or os.uname().machine != "x86_64":
        pytest.skip("no C compiler, or one for another processor")
    watch = ["-g", "-O1", "-fno-tree-vectorize", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    source = Path(__file__).with_name("sanitized.c")
    watch += ["-DCACHED=65536"]  # a few of the small sequences there
    command = [compiler, "-std=gnu11", *watch, *flags, f"-I{compiled.SOURCES}", str(source), "-lm", "-o", str(program)]
    built = subprocess.run(command, capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("a compiler without sanitizers")
    assert built.returncode == 0, built.stderr
    env = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0",
    }  # the program frees little
    done = subprocess.run([program], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "clean\n", done.stderr


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_pytorch_computes_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with caplog.at_level(logging.WARNING, "transfer"):
        assert native.library() is None and native.library() is None
    (record,) = caplog.records
    assert "no-such-compiler" in record.getMessage() and "set CC" in record.getMessage()
    parts = [torch.randn(2, 3, 5, 16) for _ in range(3)]
    wanted = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
    assert torch.equal(causal_attention(*parts), wanted)


@pytest.mark.usefixtures("fresh")
def test_a_compiler_that_fails_without_a_word_is_told_by_its_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho >&2\nexit 1\n", encoding="utf-8")
    silent.chmod(0o755)
    monkeypatch.setenv("CC", str(silent))
    with caplog.at_level(logging.WARNING, "transfer"):
        assert native.library() is None
    assert f"Command '['{silent}'" in caplog.text and "exit status 1" in caplog.text


@pytest.mark.usefixtures("kernels", "fresh")
def test_sources_that_do_not_compile_are_told_with_the_compilers_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled, "FLAGS", (*compiled.FLAGS, "--no-such-flag"))
    with caplog.at_level(logging.WARNING, "transfer"):
        assert native.library() is None
    assert "no-such-flag" in caplog.text


@pytest.mark.usefixtures("fresh")
def test_the_switch_turns_them_off_and_takes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.SWITCH, "off")
    assert native.library() is None and not native.fits(16)
    native.library.cache_clear()
    monkeypatch.setenv(native.SWITCH, "of")
    with pytest.raises(TransferError, match="off"):
        native.library()
