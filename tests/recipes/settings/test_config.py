import dataclasses
import os
import tomllib
from pathlib import Path

import pytest
import tomli_w

from transfer.errors import TransferError
from transfer.recipes.matrix.points import dump_matrix, is_matrix, load_matrix
from transfer.recipes.settings.config import RunConfig, config_table, dump_config, load_config, made
from transfer.recipes.settings.layers import layers_of, several
from transfer.recipes.settings.presets import BASE, find_config, preset_text, presets
from transfer.recipes.settings.sections import AdaptConfig, SourceConfig, known_keys
from transfer.recipes.settings.typed import flatten

SINGLE = [name for name in presets() if not is_matrix(name)]
MANY = [name for name in presets() if is_matrix(name)]
CONFIGS = Path(__file__).resolve().parents[3] / "recipes" / "configs"


def write(folder: Path, text: str) -> str:
    file = folder / "my.toml"
    file.write_text(f'[target]\nfallback = "walker2d/medium"\n{text}', encoding="utf-8")
    return str(file)


def test_presets_are_exactly_the_shipped_files() -> None:
    assert presets() == sorted(path.stem for path in CONFIGS.rglob("*.toml") if path.stem != BASE)
    assert set(presets()) >= {"hopper-to-walker2d", "walker2d-to-hopper", "hopper-from-scratch"}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", SINGLE)
def test_each_preset_survives_dump_and_load_exactly(name: str, quick: bool, tmp_path: Path) -> None:
    config = load_config(name, quick=quick)
    file = tmp_path / "config.toml"
    file.write_text(dump_config(config), encoding="utf-8")
    assert load_config(str(file)) == load_config(str(tmp_path)) == config


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", MANY)
def test_each_preset_of_many_runs_survives_dump_and_load_exactly(name: str, quick: bool, tmp_path: Path) -> None:
    matrix = load_matrix(name, quick=quick)
    assert matrix is not None and len(matrix.points) > 1
    (tmp_path / "config.toml").write_text(dump_matrix(matrix), encoding="utf-8")
    assert load_matrix(str(tmp_path)) == matrix


def test_base_names_every_key_with_a_comment_above_and_says_what_is_the_case_without_it() -> None:
    text = preset_text(BASE)
    table = tomllib.loads(text)
    quick = table.pop("quick")
    assert set(flatten(table)) == set(known_keys()) - {"adapter.tuning.kind"}
    lines = text.splitlines()
    keys = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(keys) == len(flatten(table)) + len(flatten(quick))
    assert all(lines[i - 1].startswith("# ") for i in keys)
    target = {"target": {"fallback": "walker2d/medium"}}
    assert made([table, target]) == made([target])


@pytest.mark.parametrize("name", presets())
def test_a_preset_lists_what_differs_from_base_and_nothing_else(name: str) -> None:
    text = preset_text(name)
    table, below = tomllib.loads(text), layers_of(name)[:-1]
    assert table.pop("extends") == below[-1].place and len(text.splitlines()) <= 50
    assert below[-1].place == (BASE if name in SINGLE else "tokenized-actions")
    base = several([one.table for one in below])
    own, known = ({k: v for k, v in flatten(one).items() if not k.startswith("quick")} for one in (table, base))
    assert own and {key for key, value in own.items() if known.get(key) == value} == set()
    assert text.startswith("# ") and f"#   transfer run {name}\n" in text


@pytest.mark.parametrize("name", SINGLE)
def test_quick_is_shorter_and_otherwise_the_same(name: str) -> None:
    full, quick = load_config(name), load_config(name, quick=True)
    assert quick.adapt.steps < full.adapt.steps
    assert quick.eval.episodes < full.eval.episodes
    same = dataclasses.replace(quick.adapter, action=full.adapter.action)  # a cheaper action embedding may stand in
    assert quick.trunk == full.trunk and same == full.adapter and quick.target == full.target
    assert set(quick.adapt.modes) in ({"embeddings+tuning", "random-trunk:embeddings+tuning"}, {"scratch-adapt"})


@pytest.mark.parametrize("name", MANY)
def test_quick_runs_are_shorter_and_as_many(name: str) -> None:
    full, quick = load_matrix(name), load_matrix(name, quick=True)
    assert full is not None and quick is not None
    assert [one.label for one in quick.points] == [one.label for one in full.points]
    for one, other in zip(quick.points, full.points, strict=True):
        assert (
            one.config.adapt.steps < other.config.adapt.steps
            and one.config.pretrain.steps < other.config.pretrain.steps
        )
        assert one.config.eval.episodes < other.config.eval.episodes
        assert len(one.config.run.seeds) < len(other.config.run.seeds)
        assert one.config.target == other.config.target and one.config.source == other.config.source


def test_transfer_presets_are_mirror_images() -> None:
    there, back = load_config("hopper-to-walker2d"), load_config("walker2d-to-hopper")
    data = [(one.data, one.fallback) for one in (*there.source, there.target)]
    assert data == [(one.data, one.fallback) for one in (back.target, *back.source)]
    assert (there.adapt, there.eval, there.pretrain) == (back.adapt, back.eval, back.pretrain)


def test_later_layers_win(tmp_path: Path) -> None:
    file = write(tmp_path, "[adapt]\nsteps = 10\nlr = 0.5\n[quick]\nadapt.steps = 5\nadapt.batch_size = 2\n")
    assert load_config(file).adapt.steps == 10
    assert load_config(file).adapt.clip == AdaptConfig().clip
    assert load_config(file, quick=True).adapt.steps == 5
    config = load_config(file, ["adapt.steps=7", "adapt.steps=8"], quick=True)
    assert (config.adapt.steps, config.adapt.batch_size, config.adapt.lr) == (8, 2, 0.5)


def test_set_reads_text_as_the_type_of_its_key(tmp_path: Path) -> None:
    sets = [
        "adapt.lr=1",
        "adapt.modes=full, mlp",
        "eval.ask=[{return=3000}, {}]",
        "run.seeds=[0, 2]",
        "pretrain.from=runs/x",
    ]
    config = load_config(write(tmp_path, ""), [*sets, "source.fallback=5"])
    assert config.adapt.lr == 1.0 and type(config.adapt.lr) is float
    assert config.adapt.modes == ("full", "mlp")
    assert config.eval.ask == ({"return": 3000}, {})
    assert config.run.seeds == (0, 2)
    assert config.pretrain.from_ == "runs/x"
    assert config.source == (SourceConfig(fallback="5"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[adapt]\nsteps = true", ["adapt.steps", "True", "whole number"]),
        ("[adapt]\nsteps = 3.0", ["adapt.steps", "3.0", "whole number"]),
        ("[adapt]\nlr = '0.1'", ["adapt.lr", "'0.1'", "a number"]),
        ("[adapt]\nlr = nan", ["adapt.lr", "nan"]),
        ("[adapt]\nmodes = 'full'", ["adapt.modes", "'full'", "a list"]),
        ("[eval]\nask = [{return = 'p95'}, 3000]", ["eval.ask[1]", "3000", "an object with keys"]),
        ("[eval]\nask = [{return = true}]", ["eval.ask: return is True", "number or text"]),
        ("[eval]\nask = [{horizon = []}]", ["eval.ask: horizon is []", "number or text"]),
        ("[eval]\nask = []", ["eval.ask has 0 entries"]),
        ("[adapt]\nstpes = 3", ["adapt.stpes", "Did you mean 'adapt.steps'"]),
        ("[adpat]\nsteps = 3", ["adpat", "Did you mean 'adapt'"]),
        ("[quick]\nadapt.stpes = 3", ["Did you mean 'adapt.steps'"]),
        ("[adapt]\nsteps = 0", ["adapt", "steps", "0"]),
        ("[pretrain]\nsteps = 0", ["pretrain", "steps", "0"]),
        ("[adapt]\nmodes = []", ["adapt.modes", "empty"]),
        ("[adapt]\nmodes = ['full', 'full']", ["twice"]),
        ("[adapt]\ninherit = 'actions'", ["'action'"]),
        ("[trunk]\nwidth = 10\nheads = 3", ["width", "heads"]),
        ("[adapter.action]\ntokenizer = 'quantiles'", ["Did you mean 'quantile'"]),
        ("[eval]\nask = [{return = 'p101'}]", ["p101"]),
        ("[eval]\nask = [{return = 'most'}]", ["most", "best", "p95"]),
        ("[eval]\nask = [{return = 'calibrated'}]\ncalibrate = 0", ["eval.calibrate is 0"]),
        ("[eval]\ndecode = 'paralel'", ["Did you mean 'parallel'"]),
        ("[eval]\nenvs = 0", ["eval.envs"]),
        ("[run]\nseeds = [0, 0]", ["run.seeds"]),
        ('[run]\nimports = [""]', ["run.imports has ''", "names of modules"]),
        ('[run]\nimports = ["my-env"]', ["run.imports has 'my-env'"]),
        ("[run]\nprecision = 'bf16'", ["bfloat16"]),
        ("adapt = 3", ["target.adapt", "target.data"]),
        ("[adapt", ["not valid TOML"]),
    ],
)
def test_mistakes_name_the_key_the_value_and_what_was_wanted(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(TransferError) as error:
        load_config(write(tmp_path, text))
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("adapt.stpes=3", ["Did you mean 'adapt.steps'"]),
        ("steps=3", ["Did you mean", "steps'"]),
        ("adapt.steps", ["section.key=value"]),
        ("adapt.steps=many", ["adapt.steps", "'many'", "whole number"]),
        ("adapt.steps=true", ["True", "whole number"]),
        ("run.seeds=0,x", ["run.seeds[1]", "'x'"]),
    ],
)
def test_mistakes_in_set(item: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(TransferError) as error:
        load_config(write(tmp_path, ""), [item])
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("adapt.probe_every", "eval.probe_every"),
        ("eval.width", "trunk.width"),
        ("pretrain.form", "pretrain.from"),
        ("device", "run.device"),
        ("adapt.readuot", "adapter.action.readout"),
    ],
)
def test_the_key_that_was_meant_is_found_in_whatever_table(key: str, meant: str, tmp_path: Path) -> None:
    for text, sets in (("", [f"{key}=5"]), (f"{key} = 5", []), (f"[quick]\n{key} = 5", [])):
        (tmp_path / "my.toml").write_text(f'{text}\n[target]\nfallback = "walker2d/medium"')
        if text.startswith("[quick]"):
            write(tmp_path, text)
        with pytest.raises(TransferError, match=f"Did you mean '{meant}'"):
            load_config(str(tmp_path / "my.toml"), sets)


@pytest.mark.parametrize(
    "asks",
    [
        *('{return="p95"}, {return="p95.0"}', "{return=3000}, {return='3e3'}", "{}, {}", "{return=0}, {return='-0'}"),
        "{return=1, horizon=2}, {}, {horizon=2.0, return=1}",
    ],
)
def test_what_is_asked_for_twice_is_refused(asks: str, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"eval\.ask asks for .* twice"):
        load_config(write(tmp_path, ""), [f"eval.ask=[{asks}]"])


@pytest.mark.parametrize("text", ["steps = 5", '"quick" = 3'])
def test_quick_is_a_table_of_known_keys(text: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(f'{text}\n[target]\nfallback = "walker2d/medium"')
    with pytest.raises(TransferError, match=r"my\.toml"):
        load_config(str(tmp_path / "my.toml"))


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    file = Path(write(tmp_path, "[adapt]\nsteps = 7"))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_config(str(file)).adapt.steps == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe[\x00a\x00", "UTF-8"),
        (b"a = 1\x00", "not valid TOML"),
        (b"[[" * 5000, "my.toml"),
        (b"a = " + b"[" * 20_000, "nested"),
        (b"a = " + b"{b = " * 20_000, "nested"),
        (b"a" + b".a" * 20_000 + b" = 1", "nested"),
        (b"a" + b".a" * 8 + b" = 1", "nested"),
        (b"#" * 2_000_000, "200,000"),
        (b"a = " + b"9" * 50_000, "not valid TOML"),
        (b"[adapt]\nsteps = 0x" + b"f" * 50_000, "steps="),
        (b"[adapt]\nlr = 1" + b"0" * 4_000, "adapt.lr"),
        (b"[adapt]\nlr = 1e999", "adapt.lr"),
        (b"[adapt]\nsteps = 1979-05-27", "adapt.steps"),
        (b"[run]\nseeds = [" + b"1," * 2_000 + b"]", "1,000 at most"),
        (b"[run]\ndevice = '" + b"x" * 5_000 + b"'", "4,096 at most"),
        (b"[adapt]\nsteps = 1\n[adapt]\nlr = 1.0", "not valid TOML"),
        (b'[quick]\n"adapt.steps" = 1\nadapt.steps = 2', "adapt.steps is set twice"),
        (b'"adapt.steps" = 1', "adapt.steps is in quotes"),
        (b"[[adapt]]\nsteps = 1", "'adapt' is a section"),
        (b"[[method]]\nkind = 'dt'", "method"),
        (b"source = []", "'source' is a section"),
        (b"source = [3]", "'source' is a section"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(
        content + b"" if content.startswith(b"\xff") else content + b'\n[target]\nfallback = "walker2d/medium"'
    )
    with pytest.raises(TransferError, match=words) as error:
        load_config(str(file))
    assert len(str(error.value)) < 2_000 and str(file) in str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "my.toml")
    with pytest.raises(TransferError, match=r"my\.toml"):
        load_config(str(tmp_path / "my.toml"))


VALUES: list[object] = [
    *(True, 0, -1, 10**30, -(10**30), 1e-320, 1e300, -1.5, "", "x" * 300, "\x1b[2J", [], [[]], [True], [1.5], [""]),
    *({"a": 1}, ["a", "a"], [-1], [10**30], [0] * 5000),
]


@pytest.mark.parametrize("key", known_keys())
def test_no_value_of_any_key_is_more_than_a_message(key: str, tmp_path: Path) -> None:
    """Every key with values of every kind: it is taken, or refused by a short message that names it."""
    *sections, name = key.split(".")
    for value in VALUES:
        table = config_table(load_config("hopper-to-walker2d"))
        place = table
        for section in sections:
            place = place[section]
        place[name] = value
        (tmp_path / "my.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        try:
            config = load_config(str(tmp_path / "my.toml"))
        except TransferError as error:
            assert name in str(error) and len(str(error)) < 2_000, str(error)
        else:
            kept: object = flatten(config_table(config)).get(key)
            taken = float(value) if isinstance(kept, float) else value  # a whole number is taken where one is wanted
            taken = "auto" if key == "run.threads" and value == 0 else taken  # of older versions
            gone = key in ("adapter.tuning.kind", "source.filter", "target.filter") and value == ""
            assert gone or (kept == taken and type(kept) is type(taken))


def test_value_for_a_section_and_quick_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"no \[quick\] table"):
        load_config(write(tmp_path, ""), quick=True)
    with pytest.raises(TransferError, match="target"):
        RunConfig()


def test_names_and_paths(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="Did you mean 'hopper-to-walker2d'"):
        load_config("hoper-to-walker2d")
    with pytest.raises(TransferError, match="transfer cp"):
        load_config(str(tmp_path / "none.toml"))
    run = tmp_path / "walk"
    run.mkdir()
    (run / "config.toml").write_text(preset_text("hopper-to-walker2d"), encoding="utf-8")
    assert find_config(str(run)).name == find_config(str(run / "config.toml")).name == "walk"
    assert find_config(write(tmp_path, "")).name == "my"


def test_configs_cannot_be_edited() -> None:
    config = load_config("hopper-to-walker2d")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.adapt.steps = 3  # type: ignore[misc]
