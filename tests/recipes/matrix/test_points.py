"""The runs that a `[matrix]` means, and their configs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from transfer.errors import TransferError
from transfer.recipes.matrix.points import (
    MOST_RUNS,
    Matrix,
    counts,
    dump_matrix,
    is_matrix,
    load_matrix,
)
from transfer.recipes.settings.config import load_config
from transfer.recipes.settings.sections import DataConfig, SourceConfig
from transfer.registry import PartSpec

Write = Callable[..., str]
SPREAD = "ActionTokenizedSpreadEmbedding"
FULL = """
[trunk]
width = 64
[source]
episodes = 40
[matrix]
sources = [[["hopper/expert"], ["walker2d/expert"]], "hopper/medium", [{ data = ["hopper/expert"], weight = 2.0 }]]
targets = ["mujoco/halfcheetah/expert-v0", { data = ["mujoco/ant/expert-v0"], filter = "expert" }]
modes = ["embeddings", "random-trunk:embeddings", "full"]
methods = ["dt", "udrl"]
sizes = [10, 0]
seeds = [0, 1]
[matrix.axes]
"trunk.width" = [32, 128]
adapter.action.kind = ["ActionEmbedding", "ActionTokenizedSpreadEmbedding"]
[quick]
adapt.steps = 10
matrix.seeds = [0]
matrix.axes."trunk.width" = [32]
"""

LONG = "axes.trunk.width = {}\naxes.adapt.steps = {}"


def loaded(*args: object, **options: object) -> Matrix:
    matrix = load_matrix(*args, **options)  # type: ignore[arg-type]
    assert matrix is not None
    return matrix


def test_every_combination_is_one_ordinary_run(write: Write) -> None:
    matrix = loaded(write(FULL))
    assert len(matrix.points) == 3 * 2 * 2 * 2 * 2 * 2
    assert counts(matrix) == (96, 3 * 2 * 2 * 2 * 2, 96 * 3 * 2)
    one = next(
        one
        for one in matrix.points
        if (one.source, one.target, one.method, one.size) == ("hopper+walker2d", "ant", "udrl", 10)
        and one.axes == {"trunk.width": 32, "adapter.action.kind": SPREAD}
    )
    assert one.config.source == (
        SourceConfig(data=("hopper/expert",), episodes=40),
        SourceConfig(data=("walker2d/expert",), episodes=40),
    )
    assert one.config.target == DataConfig(data=("mujoco/ant/expert-v0",), filter="expert", episodes=10)
    assert one.config.method == PartSpec("udrl") and one.config.trunk.width == 32
    assert one.config.adapter.action.kind == SPREAD and one.config.adapter.action.options["bins"] == 64
    for point in matrix.points:
        assert point.config.adapt.modes == ("embeddings", "random-trunk:embeddings", "full")
        assert point.config.run.seeds == (0, 1) and point.config.target.episodes == point.size


def test_what_is_left_out_is_what_the_rest_says(write: Write) -> None:
    text = '[source]\nfallback = "hopper/expert"\n[adapt]\nmodes = ["full", "mlp"]\n[run]\nseeds = [3, 4]\n'
    matrix = loaded(write(f'{text}[matrix]\naxes."adapt.lr" = [0.1, 1]'))
    plain = load_config(write(text, "plain.toml"))
    assert [one.axes for one in matrix.points] == [{"adapt.lr": 0.1}, {"adapt.lr": 1.0}]
    assert matrix.base == plain
    for one in matrix.points:
        assert one.config == replace(plain, adapt=replace(plain.adapt, lr=one.axes["adapt.lr"]))
        assert (one.source, one.target, one.method, one.size) == ("hopper", "walker2d", "dt", 0)


def test_targets_need_no_other_target(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('[matrix]\ntargets = ["hopper/expert", ["walker2d/medium", "walker2d/expert"]]\n')
    matrix = loaded(str(tmp_path / "my.toml"))
    assert [one.config.target.data for one in matrix.points] == [
        ("hopper/expert",),
        ("walker2d/medium", "walker2d/expert"),
    ]


def test_bodies_have_the_filter_and_the_episodes_of_the_rest_and_nothing_else(write: Write) -> None:
    text = """
[source]
data = ["hopper/medium", "hopper/expert"]
weights = [1, 2]
fallback = "hopper/expert"
env = "x:Y-v0"
episodes = 7
filter = { kind = "best-episodes", share = 0.3 }
[matrix]
sources = ["walker2d/medium", { data = ["walker2d/expert"], episodes = 9, filter = "" }]
"""
    one, other = (point.config.source for point in loaded(write(text)).points)
    filtered = PartSpec("best-episodes", {"share": 0.3})
    assert one == (SourceConfig(data=("walker2d/medium",), episodes=7, filter=filtered),)
    assert other == (SourceConfig(data=("walker2d/expert",), episodes=9),)


def test_options_of_a_kind_go_where_an_axis_changes_the_kind(write: Write) -> None:
    text = f'[adapter.action]\nbins = 16\n[matrix]\naxes."adapter.action.kind" = ["ActionEmbedding", "{SPREAD}"]'
    plain, spread = (one.config.adapter.action for one in loaded(write(text)).points)
    assert plain == PartSpec("ActionEmbedding") and spread.options["bins"] == 16


def test_options_of_methods_and_of_tunings_are_axes_too(write: Write) -> None:
    text = (
        '[matrix]\nmodes = ["embeddings+lora"]\naxes."adapter.tuning.rank" = [2, 4]\n[source]\ndata = ["hopper/expert"]'
    )
    assert [one.config.adapter.of("tuning").options["rank"] for one in loaded(write(text)).points] == [2, 4]


@pytest.mark.parametrize("quick", [False, True])
def test_a_dump_is_the_same_matrix(quick: bool, write: Write, tmp_path: Path) -> None:
    matrix = loaded(write(FULL), quick=quick)
    (tmp_path / "config.toml").write_text(dump_matrix(matrix), encoding="utf-8")
    assert loaded(str(tmp_path)) == loaded(str(tmp_path / "config.toml")) == matrix
    assert "extends" not in dump_matrix(matrix)


def test_a_dump_keeps_options_of_a_kind_that_an_axis_comes_back_to(write: Write, tmp_path: Path) -> None:
    text = """
[adapter.action]
bins = 16
[source]
filter = "expert"
[matrix]
sources = ["hopper/expert", { data = ["hopper/medium"], filter = "" }]
targets = [["walker2d/medium"], { data = ["walker2d/expert"], weights = [2.0] }]
[matrix.axes]
"adapter.action.kind" = ["ActionEmbedding", "ActionTokenizedSpreadEmbedding"]
"""
    matrix = loaded(write(text))
    (tmp_path / "config.toml").write_text(dump_matrix(matrix), encoding="utf-8")
    assert loaded(str(tmp_path)) == matrix and len(matrix.points) == 8


def test_later_layers_change_keys_of_the_matrix(write: Write) -> None:
    write(FULL, "below.toml")
    mine = write('[matrix]\nsizes = [5]\naxes."adapt.lr" = [0.1]', extends="below.toml")
    matrix = loaded(mine, ["matrix.seeds=7,8", f"matrix.axes.adapter.action.kind={SPREAD}"], quick=True)
    assert matrix.section.sizes == (5,) and matrix.section.seeds == matrix.base.run.seeds == (7, 8)
    assert matrix.section.axes == {"trunk.width": (32,), "adapter.action.kind": (SPREAD,), "adapt.lr": (0.1,)}
    assert len(matrix.points) == 3 * 2 * 2 and matrix.points[0].config.adapt.steps == 10


@pytest.mark.parametrize(
    ("item", "key", "values"),
    [
        ("matrix.seeds=[2, 3]", "seeds", (2, 3)),
        ("run.seeds=2,3", "seeds", (2, 3)),
        ("matrix.modes=embeddings,full", "modes", ("embeddings", "full")),
        ("adapt.modes=embeddings", "modes", ("embeddings",)),
        ("matrix.sizes=3", "sizes", (3,)),
        ("matrix.targets=hopper/expert", "targets", (DataConfig(data=("hopper/expert",)),)),
        (
            'matrix.axes."trunk.width"=[8]',
            "axes",
            {"trunk.width": (8,), "adapter.action.kind": ("ActionEmbedding", SPREAD)},
        ),
        ('matrix.methods=[{kind="bc"}]', "methods", (PartSpec("bc"),)),
    ],
)
def test_set_reads_lists_of_a_matrix(item: str, key: str, values: object, write: Write) -> None:
    matrix = loaded(write(FULL), [item])
    assert getattr(matrix.section, key) == values
    assert matrix.base.adapt.modes == matrix.section.modes and matrix.base.run.seeds == matrix.section.seeds


def test_settings_of_one_run_are_no_matrix(write: Write) -> None:
    assert load_matrix("hopper-to-walker2d") is None and not is_matrix("hopper-to-walker2d")
    assert is_matrix(write(FULL))


def test_many_runs_are_not_read_as_one(write: Write) -> None:
    mine = write("[matrix]\nseeds = [0, 1]")
    with pytest.raises(TransferError, match=r"has a \[matrix\], so it means many runs.*transfer run .*load_matrix"):
        load_config(mine)
    with pytest.raises(TransferError, match=r"no \[matrix\] that --set or \[quick\] could change.*matrix\.seeds"):
        load_config("hopper-to-walker2d", ["matrix.seeds=[0, 1]"])
    assert load_matrix("hopper-to-walker2d", ["matrix.seeds=[0, 1]"]) is None


def test_a_trunk_from_elsewhere_brings_its_sizes_to_each_run(write: Write, trunks: list[Path]) -> None:
    origins = ", ".join(f'"{one}"' for one in trunks)
    matrix = loaded(write(f'[matrix]\naxes."pretrain.from" = [{origins}]'))
    assert [one.config.trunk.width for one in matrix.points] == [16, 32]
    assert [one.config.pretrain.from_ for one in matrix.points] == [str(one) for one in trunks]
    assert counts(matrix).trunks == 0


@pytest.fixture
def trunks(tmp_path: Path) -> list[Path]:
    from transfer.models.trunk import Trunk, TrunkConfig

    homes = [tmp_path / "runs" / name / "trunk" / "0" for name in ("a", "b")]
    for home, width in zip(homes, (16, 32), strict=True):
        Trunk(TrunkConfig(width=width, depth=1, heads=2)).save(home / "trunk")
    return [home.parents[1] for home in homes]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[matrix]\naxes."adapter.action.kind" = ["ActionEmbedding"]\naxes."adapter.action.bins" = [3, 5]',
            [
                "the run walker2d-adapter.action.kind=ActionEmbedding-adapter.action.bins=3",
                "option of action",
                "'bins'",
            ],
        ),
        ('[matrix]\naxes."trunk.heads" = [4, 3]', ["the run walker2d-trunk.heads=3", "width", "heads"]),
        (
            '[matrix]\nmodes = ["embeddings+ia3"]\naxes."adapter.tuning.kind" = ["ia3", "lora"]',
            ["the run walker2d-adapter.tuning.kind=lora", "mode 'embeddings+ia3' trains ia3"],
        ),
        ('[matrix]\naxes."adapter.action.kind" = ["ActionSpredEmbedding"]', ["the run", "Did you mean 'ActionSpread"]),
        (
            '[matrix]\nmodes = ["scratch-adapt"]\nsources = ["hopper/expert", "hopper/medium"]',
            ["matrix.sources changes nothing", "scratch-adapt"],
        ),
        (
            '[matrix]\nsources = ["hopper/expert", "hopper/medium"]\n[pretrain]\nfrom = "runs/x"',
            ["matrix.sources changes nothing", "runs/x"],
        ),
        (
            '[matrix]\nmodes = ["scratch-adapt", "mlp"]\naxes."pretrain.lr" = [0.1, 0.2]',
            ["the axis pretrain.lr changes nothing", "scratch-adapt, mlp"],
        ),
        (
            '[matrix]\nmodes = ["embeddings"]\naxes."adapter.tuning.kind" = ["ia3", "lora"]',
            ["the axis adapter.tuning.kind changes nothing", "embeddings+tuning"],
        ),
        (
            '[matrix]\naxes."target.filter" = ["expert", { kind = "expert", share = 0.8 }]',
            ["are the same", "the axis target.filter changes nothing"],
        ),
        (
            f"[matrix]\nsizes = [0]\n{LONG.format(list(range(4, 804, 4)), list(range(1, 100)))}",
            ["19,800 runs", f"1 x 200 x 99; it takes {MOST_RUNS:,} at most"],
        ),
        (
            '[matrix]\ntargets = [{ data = ["hopper/medium", "hopper/expert"], weights = [1.0] }]',
            ["targets[0]", "weights"],
        ),
    ],
)
def test_an_unsound_run_is_refused_by_its_name(text: str, words: list[str], write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_matrix(write(text))
    assert all(word in str(error.value) for word in [*words, "my.toml"]), str(error.value)


def test_longer_pretraining_is_an_axis_of_the_longer_training_from_scratch(write: Write) -> None:
    text = '[matrix]\nmodes = ["scratch-total"]\naxes."pretrain.steps" = [1, 2]'
    assert len(loaded(write(text)).points) == 2


def test_a_thousand_runs_have_a_name_and_settings_each(write: Write) -> None:
    matrix = loaded(write(f"[matrix]\n{LONG.format(list(range(4, 104, 4)), list(range(1, 41)))}"))
    assert len(matrix.points) == len({one.label.lower() for one in matrix.points}) == 1_000
    assert [one.config.trunk.width for one in matrix.points] == [one.axes["trunk.width"] for one in matrix.points]


@pytest.mark.parametrize(
    ("text", "sets", "words"),
    [
        ("[adapt]\nmodes = ['full']", [], ["my.toml sets adapt.modes", "Set matrix.modes, a list"]),
        ("[run]\nseeds = [9]", [], ["sets run.seeds", "matrix.seeds"]),
        ("[trunk]\nwidth = 8", [], ["sets trunk.width", "Set matrix.axes.trunk.width"]),
        ("[source]\ndata = ['hopper/medium']", [], ["sets source.data", "matrix.sources"]),
        (
            "[[source]]\ndata = ['hopper/medium']\n[[source]]\ndata = ['walker2d/medium']",
            [],
            ["source", "matrix.sources"],
        ),
        ("[target]\ndata = ['hopper/medium']", [], ["sets target.data", "matrix.targets"]),
        ("[method]\nkind = 'bc'", [], ["sets method.kind", "matrix.methods"]),
        ("[quick]\ntarget.episodes = 3", [], ["[quick] of", "target.episodes", "matrix.sizes"]),
        ("", ["trunk.width=8"], ["--set trunk.width", "matrix.axes.trunk.width"]),
        ("", ["target.episodes=8"], ["--set target.episodes", "matrix.sizes"]),
        ("", ["run.seeds=8", "matrix.seeds=[7]"], ["matrix.seeds and run.seeds are both given"]),
    ],
)
def test_what_the_matrix_decides_is_not_set_elsewhere(
    text: str, sets: list[str], words: list[str], write: Write
) -> None:
    write(FULL, "below.toml")
    with pytest.raises(TransferError) as error:
        load_matrix(write(text, extends="below.toml"), sets)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_layer_may_set_what_the_matrix_leaves_open(write: Write) -> None:
    write(FULL, "below.toml")
    mine = write("[source]\nepisodes = 3\n[adapt]\nlr = 0.5\n[adapter.action]\nbins = 7", extends="below.toml")
    matrix = loaded(mine, ["pretrain.steps=3"])
    assert {one.config.source[0].episodes for one in matrix.points} == {3}
    assert {(one.config.adapt.lr, one.config.pretrain.steps) for one in matrix.points} == {(0.5, 3)}
    assert {one.config.adapter.action.options.get("bins") for one in matrix.points} == {None, 7}
