"""The lists of a `[matrix]`: what they take, and mistakes in them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from transfer.errors import TransferError
from transfer.recipes.matrix.axes import touches_trunk
from transfer.recipes.matrix.points import dump_matrix, load_matrix
from transfer.recipes.settings.layers import MATRIX_KEYS
from transfer.recipes.settings.own_modules import modules_of
from transfer.recipes.settings.sections import DataConfig, SourceConfig, plain_keys
from transfer.registry import PartSpec

Write = Callable[..., str]
HOPPER, WALKER = SourceConfig(data=("hopper/expert",)), SourceConfig(data=("walker2d/expert",))


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ('"hopper/expert", "walker2d/expert"', ((HOPPER,), (WALKER,))),
        ('["hopper/expert", "walker2d/expert"]', ((HOPPER, WALKER),)),
        ('[["hopper/expert"], ["walker2d/expert"]]', ((HOPPER, WALKER),)),
        ('[["hopper/expert", "hopper/medium"]]', ((SourceConfig(data=("hopper/expert", "hopper/medium")),),)),
        ('{ data = ["hopper/expert"] }, [{ data = ["walker2d/expert"] }]', ((HOPPER,), (WALKER,))),
        (
            '[{ data = ["hopper/expert", "hopper/medium"], weights = [1, 3], name = "h" }, "walker2d/expert"]',
            ((SourceConfig(data=("hopper/expert", "hopper/medium"), weights=(1.0, 3.0), name="h"), WALKER),),
        ),
        ('{ fallback = "hopper/expert" }', ((SourceConfig(fallback="hopper/expert"),),)),
    ],
)
def test_sources_are_lists_of_bodies(text: str, entries: object, write: Write) -> None:
    matrix = load_matrix(write(f"[matrix]\nsources = [{text}]"))
    assert matrix is not None and matrix.section.sources == entries
    assert tuple(one.config.source for one in matrix.points) == entries


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ('"hopper/expert"', [DataConfig(data=("hopper/expert",))]),
        ('["hopper/medium", "hopper/expert"]', [DataConfig(data=("hopper/medium", "hopper/expert"))]),
        ('{ data = ["hopper/expert"], episodes = 3 }', [DataConfig(data=("hopper/expert",), episodes=3)]),
    ],
)
def test_targets_are_bodies(text: str, entries: object, write: Write) -> None:
    matrix = load_matrix(write(f'[matrix]\nsources = ["hopper/expert"]\ntargets = [{text}]'))
    assert matrix is not None and [one.config.target for one in matrix.points] == entries


def test_methods_are_kinds_or_tables(write: Write) -> None:
    matrix = load_matrix(write('[matrix]\nmethods = ["dt", { kind = "udrl" }]'))
    assert matrix is not None and matrix.section.methods == (PartSpec("dt"), PartSpec("udrl"))
    assert [one.method for one in matrix.points] == ["dt", "udrl"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["[matrix] is empty", "seeds = [0, 1]"]),
        ("[matrix.axes]", ["[matrix] is empty"]),
        ("sedes = [0]", ["unknown key 'matrix.sedes'", "Did you mean 'matrix.seeds'", "[matrix.axes]"]),
        ("trunk.width = [8]", ["unknown key 'matrix.trunk'", "under [matrix.axes]"]),
        ("matrix.seeds = [0]", ["unknown key 'matrix.matrix'"]),
        ("axes.trunk = {}", ["matrix.axes is a table of keys with a list of values each", "got {}"]),
        ("axes.trunk.width = {}\nseeds = [0]", ["matrix.axes is a table of keys with a list of values each"]),
        ("axes = [3]", ["matrix.axes is a table", "got [3]"]),
        ("sources = []", ["matrix.sources is an empty list", "leave the key out"]),
        ("sources = 'hopper/expert'", ["matrix.sources is 'hopper/expert'; a list is needed"]),
        ("sources = [[]]", ["matrix.sources[0] is an empty list"]),
        ("sources = [[[]]]", ["matrix.sources[0][0] is []", "One trunk of two bodies is"]),
        ('sources = [[[["hopper/expert"]]]]', ["matrix.sources[0][0] is [['hopper/expert']]", "list of names"]),
        ("sources = [3]", ["matrix.sources[0] is 3; a list is needed"]),
        ('sources = [[""]]', ["matrix.sources[0][0] is ''"]),
        ("sources = [[{ name = 'h' }]]", ["matrix.sources[0][0] names no data"]),
        ("sources = [[{ dta = ['h'] }]]", ["matrix.sources[0][0]", "Did you mean 'source.data'"]),
        ("sources = [{ data = ['hopper/expert'], weight = -1 }]", ["matrix.sources[0][0]", "weight=-1"]),
        (
            "sources = [{ data = ['hopper/expert'], weights = [1, 2] }]",
            ["matrix.sources[0][0]", "weights", "1 datasets"],
        ),
        ("sources = [{ data = ['hopper/expert'], filter = 'exprt' }]", ["[0][0]", "Did you mean 'expert'"]),
        ("sources = ['hopper/expert', ['hopper/expert']]", ["matrix.sources has hopper/expert twice"]),
        ("sources = [[{data=['a-v0'],name='x'}, {data=['b-v0'],name='X'}]]", ["the names 'x' and 'X'"]),
        ("targets = []", ["matrix.targets is an empty list"]),
        ("targets = [[['hopper/expert']]]", ["matrix.targets[0] is [['hopper/expert']]", "Two targets are"]),
        ("targets = [{ data = ['hopper/expert'], weight = 2 }]", ["matrix.targets[0]", "target.weight"]),
        ("targets = ['hopper/expert', 'hopper/expert']", ["matrix.targets has hopper/expert twice"]),
        ("targets = [{ data = ['hopper/expert'], episodes = 3 }]\nsizes = [4]", ["targets has episodes", "keep one"]),
        ("modes = []", ["matrix.modes is an empty list"]),
        ("modes = ['embedings']", ["matrix.modes", "unknown mode", "Did you mean 'embeddings'"]),
        ("modes = ['full', 'full']", ["matrix.modes has 'full' twice"]),
        ("modes = ['scratch', 'scratch-adapt']", ["matrix.modes has 'scratch-adapt' twice"]),
        ("modes = [3]", ["matrix.modes[0] is 3", "text"]),
        ("methods = []", ["matrix.methods is an empty list"]),
        ("methods = ['td']", ["matrix.methods[0]", "unknown method kind 'td'"]),
        ("methods = [{ kind = 'dt', order = 3 }]", ["matrix.methods[0]", "unknown option of method 'dt' 'order'"]),
        ("methods = [{ order = 3 }]", ["matrix.methods[0]", "kind"]),
        ("methods = ['dt', 'dt']", ["matrix.methods has", "twice"]),
        ("methods = ['dt', { kind = 'dt' }]", ["matrix.methods has", "twice"]),
        ("sizes = []", ["matrix.sizes is an empty list"]),
        ("sizes = [10, -1]", ["matrix.sizes=-1 is too small"]),
        ("sizes = [10.5]", ["matrix.sizes[0] is 10.5", "whole number"]),
        ("sizes = [10, 10]", ["matrix.sizes has 10 twice"]),
        ("seeds = []", ["matrix.seeds is an empty list"]),
        ("seeds = [0, 0]", ["matrix.seeds has 0 twice"]),
        ("seeds = [-1]", ["matrix.seeds=-1"]),
        ("seeds = [true]", ["matrix.seeds[0] is True"]),
        ("seeds = 3", ["matrix.seeds is 3; a list is needed, as [3]"]),
        ('axes."trunk.width" = []', ['matrix.axes."trunk.width" is an empty list']),
        ('axes."trunk.width" = 8', ['matrix.axes."trunk.width" is 8; a list is needed']),
        ('axes."trunk.width" = [8, 8]', ['matrix.axes."trunk.width" has 8 twice']),
        ('axes."adapt.lr" = [1, 1.0]', ['matrix.axes."adapt.lr" has 1.0 twice']),
        ('axes."trunk.width" = ["8"]', ["trunk.width is '8'", "whole number"]),
        ('axes."trunk.width" = [0]', ["width"]),
        ('axes."adapter.action.kind" = ["ActionEmbedding", "ActionEmbedding"]', ["has 'ActionEmbedding' twice"]),
        ('axes."trunk.widht" = [8]', ["unknown key 'trunk.widht'", "Did you mean 'trunk.width'"]),
        ('axes."width" = [8]', ["unknown key 'width'", "Did you mean 'trunk.width'"]),
        ('axes."trunk" = [8]', ["unknown key 'trunk'"]),
        ('axes."adapter.bins" = [8]', ["unknown key 'adapter.bins'", "adapter.action.bins"]),
        ('axes."adapt.modes" = [["full"]]', ["adapt.modes is no axis", "matrix.modes = [...]"]),
        ('axes."run.seeds" = [[0]]', ["run.seeds is no axis", "matrix.seeds"]),
        ('axes."target.episodes" = [3]', ["target.episodes is no axis", "matrix.sizes"]),
        ('axes."target.data" = [["hopper/expert"]]', ["target.data is no axis", "matrix.targets"]),
        ('axes."target.fallback" = ["hopper/expert"]', ["target.fallback is no axis", "matrix.targets"]),
        ('axes."source.data" = [["hopper/expert"]]', ["source.data is no axis", "matrix.sources"]),
        ('axes."source.episodes" = [3]', ["source.episodes is no axis", "matrix.sources"]),
        ('axes."method.kind" = ["dt"]', ["method.kind is no axis", "matrix.methods"]),
        ('axes."run.imports" = [["x"]]', ["run.imports is no axis"]),
        ('axes."matrix.seeds" = [[0]]', ["matrix.seeds is no axis", "a matrix holds no other"]),
        ('axes."trunk.width" = [8]\naxes.trunk.width = [16]', ["trunk.width is set twice"]),
    ],
)
def test_mistakes_are_refused_with_what_to_write(text: str, words: list[str], write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_matrix(write(f"[matrix]\n{text}"))
    assert all(word in str(error.value) for word in [*words, "my.toml"]), str(error.value)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("matrix.sedes=0", ["unknown key 'matrix.sedes'", "Did you mean 'matrix.seeds'"]),
        ("matrix.seeds=x", ["matrix.seeds[0] is 'x'"]),
        ("matrix.seeds=[]", ["matrix.seeds is an empty list"]),
        ("matrix.axes=[3]", ["--set matrix.axes", "matrix.axes.trunk.width=[128, 256]"]),
        ("matrix.seeds.x=3", ["--set matrix.seeds.x"]),
        ("matrix.axes.trunk.widht=8", ["Did you mean 'trunk.width'"]),
        ("matrx.seeds=0", ["unknown key", "Did you mean 'matrix.seeds'"]),
    ],
)
def test_mistakes_in_set(item: str, words: list[str], write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_matrix(write("[matrix]\nseeds = [0]"), [item])
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("text", ["matrix = 3", "[[matrix]]\nseeds = [0]", "[quick]\nmatrix = 3"])
def test_a_matrix_is_a_table(text: str, write: Write) -> None:
    file = write("")
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(f'{text}\n[target]\ndata = ["hopper/expert"]')
    with pytest.raises(TransferError, match=r"my\.toml: 'matrix' is a section, not a value|'quick' is"):
        load_matrix(file)


def test_mistakes_in_quick_do_not_wait_for_its_first_use(write: Write) -> None:
    with pytest.raises(TransferError, match=r"my\.toml: matrix\.seeds has 0 twice"):
        load_matrix(write("[matrix]\nseeds = [0]\n[quick]\nmatrix.seeds = [0, 0]"))
    with pytest.raises(TransferError, match=r"Did you mean 'trunk.width'"):
        load_matrix(write('[matrix]\nseeds = [0]\n[quick]\nmatrix.axes."trunk.widht" = [8]'))


def test_a_target_may_be_among_the_sources(write: Write) -> None:
    matrix = load_matrix(write('[matrix]\nsources = ["hopper/expert"]\ntargets = ["hopper/expert", "walker2d/expert"]'))
    assert matrix is not None and [one.label for one in matrix.points] == ["hopper-to-hopper", "hopper-to-walker2d"]


def test_axes_of_a_pretraining_touch_the_trunk() -> None:
    outside = {key for key in plain_keys() if not touches_trunk(key)}
    assert {key.partition(".")[0] for key in outside} == {"adapt", "eval", "target"}
    assert all(touches_trunk(key) for key in ("trunk.width", "adapter.action.bins", "method.kind", "pretrain.lr"))


VALUES: list[object] = [
    *(True, 0, -1, 10**30, 1e300, -1.5, "", "x" * 300, "\x1b[2J", [], [[]], [True], [1.5], [""], {}, {"a": 1}, [{}]),
    *(
        ["a", "a"],
        [-1],
        [10**30],
        [0] * 5000,
        [[[["x"]]]],
        [{"data": "x"}],
        [{"data": ["x-v0"], "env": 3}],
        [{"kind": 3}],
    ),
    *([{"kind": "dt", "x": [1]}], [{"filter": {"kind": []}}], [[{"data": ["x-v0"], "weights": ["1"]}]], ["x" * 5000]),
    *([{"data": ["x-v0"], "env": "a:b:c"}], [{"data": ["../x-v0"]}], [[3, "x-v0"]], [{"data": [""]}], [1e300]),
]


@pytest.mark.parametrize(
    "key",
    [*MATRIX_KEYS, *(f"axes.{one}" for one in (*plain_keys(), "adapter.action.bins", "target.filter.kind", "", "a"))],
)
def test_no_value_of_any_key_is_more_than_a_message(key: str, tmp_path: Path) -> None:
    """Every key with values of every kind: it is taken, or refused by a short message that names the file."""
    for value in VALUES:
        name, dot, axis = key.partition(".")
        table = {"target": {"data": ["hopper/expert"]}, "matrix": {name: {axis: value} if dot else value}}
        (tmp_path / "my.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
        try:
            matrix = load_matrix(str(tmp_path / "my.toml"))
            modules_of(str(tmp_path / "my.toml"), (), False)
        except TransferError as error:
            assert "my.toml" in str(error) and len(str(error)) < 2_000, str(error)
        else:
            assert matrix is not None
            (tmp_path / "config.toml").write_text(dump_matrix(matrix), encoding="utf-8")
            assert load_matrix(str(tmp_path)) == matrix


def test_modules_of_environments_in_a_matrix_are_imported(write: Write) -> None:
    bodies = '[[{ data = ["x-v0"], env = "one:A-v0" }, "y-v0"]]'
    mine = write(f'[matrix]\nsources = {bodies}\ntargets = [{{ data = ["z-v0"], env = "two:B-v0" }}]')
    assert modules_of(mine, (), False) == ["one", "two"]
