"""Files that extend others, parts whose kind changes from layer to layer, and spellings of older versions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer import registry
from transfer.adapters.methods.bc import BC
from transfer.adapters.states.linear import LinearState
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.recipes.matrix.points import is_matrix, load_matrix
from transfer.recipes.settings.config import RunConfig, config_table, dump_config, load_config
from transfer.recipes.settings.presets import own_copy, presets
from transfer.registry import PartSpec

Write = Callable[..., str]
TARGET = '[target]\nfallback = "walker2d/medium"\n'
SPREAD = PartSpec("ActionTokenizedSpreadEmbedding")


def runs(name_or_path: str) -> list[RunConfig]:
    """The configs of the one run, or the many, of some settings."""
    matrix = load_matrix(name_or_path)
    return [load_config(name_or_path)] if matrix is None else [one.config for one in matrix.points]


def half(episodes: Episodes, *, share: float = 0.5) -> Episodes:
    return episodes[: max(1, int(share * len(episodes)))]


@pytest.fixture(autouse=True, scope="module")
def filters() -> None:
    registry.register("filter", "half", half)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str, name: str = "my.toml", target: bool = True) -> str:
        (tmp_path / name).write_text(text + (f"\n{TARGET}" if target else ""), encoding="utf-8")
        return str(tmp_path / name)

    return make


def test_a_file_is_what_it_extends_but_for_what_it_says(write: Write) -> None:
    main = load_config("hopper-to-walker2d")
    mine = load_config(write('extends = "hopper-to-walker2d"\n[adapt]\nlr = 0.01', target=False))
    assert mine.adapt.lr == 0.01 and mine.adapt.modes == main.adapt.modes and mine.source == main.source
    assert load_config(write('extends = "base"')).adapt.modes == ("embeddings",)


def test_files_extend_files_beside_them(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('extends = "base"\n[trunk]\nwidth = 32\nheads = 2', "one.toml")
    (tmp_path / "deep").mkdir()
    mine = write('extends = "../one.toml"\n[trunk]\nheads = 8', "deep/my.toml", target=False)
    for place in (tmp_path, tmp_path / "deep", Path("/")):
        monkeypatch.chdir(place)
        config = load_config(mine)
        assert (config.trunk.width, config.trunk.heads, config.target.fallback) == (32, 8, "walker2d/medium")


def test_quick_tables_are_inherited(write: Write) -> None:
    mine = write('extends = "hopper-to-walker2d"\n[adapter.action]\nbins = 16\n[quick]\nadapt.steps = 7', target=False)
    quick = load_config(mine, quick=True)
    assert quick.adapt.steps == 7 and quick.eval.episodes == 20
    # the quick kind has no bins: those of the file go with the kind that they were for
    assert (
        quick.adapter.action == PartSpec("ActionEmbedding") and load_config(mine).adapter.action.options["bins"] == 16
    )


def test_a_resolved_config_extends_nothing(write: Write, tmp_path: Path) -> None:
    config = load_config(write('extends = "three-bodies-to-halfcheetah"\n[source]\nepisodes = 5'))
    text = dump_config(config)
    assert "extends" not in text and load_config(write(text, "run.toml", target=False)) == config


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"my.toml": 'extends = "my.toml"'}, ["extends itself", "my.toml -> "]),
        ({"my.toml": 'extends = "a.toml"', "a.toml": 'extends = "./my.toml"'}, ["extends itself", "a.toml"]),
        ({"my.toml": 'extends = "bse"'}, ["unknown preset to extend 'bse'", "Did you mean 'base'"]),
        ({"my.toml": 'extends = "hopper-to-walker"'}, ["Did you mean 'hopper-to-walker2d'"]),
        ({"my.toml": 'extends = "none.toml"'}, ["no file", "none.toml", "hopper-to-walker2d"]),
        ({"my.toml": "extends = 3"}, ["extends is 3", "name of a preset"]),
        ({"my.toml": 'extends = ""'}, ["extends is ''"]),
        ({"my.toml": 'extends = "a.toml"', "a.toml": "[adapt]\nstpes = 3"}, ["a.toml", "Did you mean 'adapt.steps'"]),
        ({"my.toml": 'extends = "a.toml"', "a.toml": "[adapt"}, ["a.toml is not valid TOML"]),
        (
            {"my.toml": 'extends = "0.toml"', **{f"{i}.toml": f'extends = "{i + 1}.toml"' for i in range(9)}},
            ["extends more than 7 files"],
        ),
    ],
)
def test_what_cannot_be_extended_is_said(files: dict[str, str], words: list[str], write: Write) -> None:
    for name, text in files.items():
        mine = write(text, name, target=False)
    with pytest.raises(TransferError) as error:
        load_config(str(Path(mine).with_name("my.toml")))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_unknown_section_called_extends_is_no_way_around(write: Write) -> None:
    with pytest.raises(TransferError, match="extends is"):
        load_config(write('[extends]\nname = "base"'))


def test_options_of_an_earlier_kind_are_dropped_and_those_of_the_same_kind_kept(write: Write) -> None:
    mine = write('extends = "base"\n[adapter.action]\nbins = 16\n[adapter.tuning]\nkind = "ia3"')
    plain = load_config(mine)
    assert plain.adapter.action.options["bins"] == 16 and plain.adapter.tuning == PartSpec("ia3")
    assert load_config(mine, ["adapter.action.kind=ActionEmbedding"]).adapter.action == PartSpec("ActionEmbedding")
    again = load_config(mine, [f"adapter.action.kind={SPREAD.kind}", "adapter.action.readout=categorical"])
    assert again.adapter.action.options["bins"] == 16 and again.adapter.action.options["readout"] == "categorical"
    other = load_config(mine, ["adapter.action.bins=4", "adapter.action.kind=ActionTokenizedEmbedding"])
    assert other.adapter.action.options["bins"] == 4, "what one layer says together belongs together"
    assert load_config(mine, ["adapter.tuning.kind="]).adapter.tuning is None


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("adapter.action.kind=ActionSpredEmbedding", ["unknown action kind", "Did you mean 'ActionSpreadEmbedding'"]),
        ("adapter.action.bin=32", ["unknown option of action", "Did you mean 'bins'"]),
        ("adapter.state.kind=", ["unknown state kind ''", "mlp"]),
        ("adapter.tuning.rank=4", ["adapter.tuning.rank needs a kind. Kinds that take rank: lora. Write", "kind=lora"]),
        ("adapter.tuning.rnk=4", ["no kind of tuning takes rnk", "lora: rank, alpha, sites", "ia3: none"]),
        ("adapter.rank=4", ["adapter.rank is adapter.tuning.rank", "kind=lora", "--set adapter.tuning.rank=4"]),
        ("adapter.kind=mlp", ["unknown key 'adapter.kind'"]),
        ("adapter.filter.kind=expert", ["unknown part of an adapter 'filter'", "Known: state, action, tuning. "]),
        ("adapter.horizn.scale=3", ["unknown part of an adapter 'horizn'"]),
        ("adapter.tuning.kind=ia4", ["unknown tuning kind", "Did you mean 'ia3'"]),
        ("adapter.horizn.kind=scalar", ["unknown part of an adapter 'horizn'"]),
        ("adapter.method.kind=dt", ["unknown part of an adapter 'method'"]),
        ("method.kind=td", ["unknown method kind", "dt"]),
        ("method.order=3", ["unknown option of method 'dt'", "order"]),
        ("source.filter=haf", ["unknown filter kind", "Did you mean 'half'"]),
        ("source.filter.shar=0.1", ["source", "filter"]),
        ("source.name=a/b", ["[source]", "name 'a/b'", "letters"]),
        ("source.weight=-1", ["weight=-1", "at least 0"]),
        ("source.weight=0", ["source.weight is 0", "above zero"]),
        ("target.episodes=-1", ["[target] episodes=-1"]),
        (
            "adapter.bins=32",
            ["adapter.bins is now adapter.action.bins", "bins = 32 under", "--set adapter.action.bins=32"],
        ),
        ("adapter.readout=categorical", ["adapter.readout is now adapter.action.readout"]),
        ("adapter.action=ActionEmbedding", ["adapter.action is now adapter.action.kind", "--set adapter.action.kind="]),
        ("adapter.tuning=ia3", ["adapter.tuning is now adapter.tuning.kind", 'kind = "ia3"', "tuning.kind=ia3"]),
        ("method=dt", ["method is now method.kind", "--set method.kind=dt"]),
        ("eval.targets=p95", ["eval.targets is now eval.ask", 'ask = [{return = "p95"}]']),
    ],
)
def test_a_part_that_cannot_be_is_refused_by_name(item: str, words: list[str], write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_config(write('extends = "base"'), [item])
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[adapter]\naction = "ActionEmbedding"', 'write kind = "ActionEmbedding" under [adapter.action]'),
        ("[adapter]\nbins = 32", "write bins = 32 under [adapter.action]"),
        ('method = "dt"', 'write kind = "dt" under [method]'),
        ('[eval]\ntargets = ["p95"]', "eval.targets is now eval.ask"),
        ("[quick]\nadapter.bins = 32", "adapter.bins is now adapter.action.bins"),
    ],
)
def test_a_file_of_an_older_version_is_told_the_new_spelling(text: str, words: str, write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_config(write(text))
    assert words in str(error.value) and "my.toml" in str(error.value)


def test_a_filter_is_a_name_or_a_table_with_options(write: Write) -> None:
    mine = write('extends = "base"\n[source]\nfilter = "half"')
    assert load_config(mine).source[0].filter == PartSpec("half", {"share": 0.5})
    assert load_config(mine, ["source.filter.share=0.1"]).source[0].filter == PartSpec("half", {"share": 0.1})
    assert load_config(mine, ["target.filter=half"]).target.filter == PartSpec("half", {"share": 0.5})
    assert load_config(mine, ["source.filter="]).source[0].filter is None
    table = config_table(load_config(mine))
    assert table["source"]["filter"] == {"kind": "half", "share": 0.5} and table["target"]["filter"] == ""


TWO = '[[source]]\ndata = ["hopper/expert"]\nweight = 2\n[[source]]\ndata = ["walker2d/expert"]\nname = "walk"\n'


def test_several_sources_are_a_list_and_one_takes_their_place(write: Write) -> None:
    two = load_config(write(f'extends = "hopper-to-walker2d"\n{TWO}'))
    assert [(one.data, one.name, one.weight, one.fallback) for one in two.source] == [
        (("hopper/expert",), "", 2.0, ""),
        (("walker2d/expert",), "walk", 1.0, ""),
    ]
    mine = write(f'extends = "base"\n{TWO}')
    assert [one.episodes for one in load_config(mine, ["source.episodes=3"]).source] == [3, 3]
    (one,) = load_config(mine, ["source.fallback=hopper/medium"]).source
    assert (one.data, one.fallback, one.weight) == ((), "hopper/medium", 1.0)
    with pytest.raises(TransferError, match=r"source\.weight is of one source, and there are 2"):
        load_config(mine, ["source.weight=3"])
    with pytest.raises(TransferError, match=r"source\.1\.data: --set reaches no single one"):
        load_config(mine, ["source.1.data=hopper/medium"])


def test_one_table_of_several_is_one_source(write: Write) -> None:
    """Nothing that it says is lost to a later layer, and nothing of an earlier one."""
    table = 'data = ["hopper/expert"]\nname = "hop"\nweight = 2\nfilter = "half"\n'
    mine = write(f'extends = "hopper-to-walker2d"\n[[source]]\n{table}')
    same = load_config(write(f'extends = "hopper-to-walker2d"\n[source]\n{table}', "other.toml"))
    assert load_config(mine) == same and same.source[0].fallback
    (one,) = load_config(mine, ["source.data=hopper/medium", "source.weight=3"]).source
    assert one == replace(same.source[0], data=("hopper/medium",), weight=3.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('name = "walk"', 'name = "w"\n[[source]]\nname = "w"\ndata = ["hopper/medium"]'), "two .* have the name 'w'"),
        (("weight = 2", "weight = -2"), "weight=-2"),
        (("weight = 2", 'weight = 0\n[[source]]\ndata = ["hopper/medium"]\nweight = 0'), None),
        (('data = ["hopper/expert"]', ""), "table 1 names no data"),
        (("weight = 2", "wieght = 2"), "Did you mean 'source.weight'"),
    ],
)
def test_mistakes_in_several_sources(change: tuple[str, str], words: str | None, write: Write) -> None:
    mine = write(f'extends = "base"\n{TWO.replace(*change)}')
    if words is None:  # those of weight 0 count for nothing, and one counts
        assert [one.weight for one in load_config(mine).source] == [0, 0, 1]
        return
    with pytest.raises(TransferError, match=words):
        load_config(mine)


def test_sources_that_all_count_for_nothing_are_refused(write: Write) -> None:
    none = TWO.replace("= 2", "= 0").replace('name = "walk"', "weight = 0.0")
    with pytest.raises(TransferError, match="weight is 0 for every source"):
        load_config(write(f'extends = "base"\n{none}'))


@pytest.mark.parametrize("name", presets())
def test_a_copy_is_good_to_edit(name: str, write: Write) -> None:
    """It extends the base settings, says why, and asks for the same but for the fallbacks, which are off."""
    text, many = own_copy(name), is_matrix(name)
    assert f'extends = "{"tokenized-actions" if many else "base"}"' in text and text.count("#") > 2
    for mine, shipped in zip(runs(write(text, target=False)), runs(name), strict=True):
        assert (mine.adapt, mine.eval, mine.pretrain) == (shipped.adapt, shipped.eval, shipped.pretrain)
        assert [one.data for one in mine.source] == [one.data for one in shipped.source]
        assert not any(one.fallback for one in (*mine.source, mine.target))


TUNED = """
extends = "base"
[adapter.tuning]
rank = 4
[adapt]
modes = ["embeddings", "embeddings+lora", "random-trunk:embeddings+lora"]
"""


def test_the_modes_name_the_kind_of_a_tuning_that_has_options_alone(write: Write) -> None:
    for quick in (False, True):  # [quick] of base has modes of its own
        config = load_config(write(TUNED), quick=quick)
        assert config.adapter.tuning == PartSpec("lora", {"rank": 4, "alpha": 16.0, "sites": ["q", "v"]})
    assert load_config(write(dump_config(config), "again.toml", target=False)).adapter == config.adapter


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("item", ["adapt.modes=embeddings+lora", "adapter.tuning.kind=lora"])
def test_a_later_layer_names_the_kind_of_options_that_a_file_has(item: str, quick: bool, write: Write) -> None:
    file = write(TUNED.replace('"embeddings+lora", "random-trunk:embeddings+lora"', ""))
    with pytest.raises(TransferError, match="adapter.tuning.rank needs a kind"):
        load_config(file)
    assert load_config(file, [item], quick).adapter.tuning == PartSpec(
        "lora", {"rank": 4, "alpha": 16.0, "sites": ["q", "v"]}
    )
    with pytest.raises(TransferError, match="unknown option of tuning 'ia3' 'rank'"):
        load_config(file, ["adapter.tuning.kind=ia3"])


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        ("embeddings+lora,embeddings+ia3", ["adapt.modes say ia3, lora", "tuning in adapt.modes in the place of ia3"]),
        ("embeddings+lora,tuning", ["adapt.modes say lora, tuning", 'Write kind = "lora"']),
        ("embeddings+ia3", ["adapt.modes say ia3", "in the place of ia3"]),
        ("embeddings", ["adapter.tuning.rank needs a kind. Kinds that take rank: lora"]),
    ],
)
def test_modes_that_do_not_agree_on_a_kind_of_tuning_are_refused(modes: str, words: list[str], write: Write) -> None:
    with pytest.raises(TransferError) as error:
        load_config(write(TUNED), [f"adapt.modes={modes}"])
    assert all(word in str(error.value) for word in words), str(error.value)


def nothing_given(episodes: Any, *, at: Any = None) -> Any:
    return episodes


def test_an_option_of_none_is_left_out_of_toml_and_comes_back(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["filter"], "none-given", nothing_given)
    config = load_config(write(TUNED), ["target.filter=none-given"])
    assert config.target.filter == PartSpec("none-given", {"at": None})
    assert load_config(write(dump_config(config), "again.toml", target=False)) == config


class Rewarding(BC):
    groups = ("state", "action", "reward")


def test_a_group_without_a_kind_is_refused_with_what_to_write(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._table()["method"], "rewarding", Rewarding)
    with pytest.raises(TransferError, match="no kind for the part 'reward'.*registered: none. Install a package"):
        load_config(write(TUNED), ["method.kind=rewarding"])
    monkeypatch.setitem(registry._table(), "reward", {"line": LinearState})
    with pytest.raises(TransferError, match=r'registered: line. Write kind = "line" under \[adapter.reward\]'):
        load_config(write(TUNED), ["method.kind=rewarding"])
    chosen = load_config(write(TUNED), ["method.kind=rewarding", "adapter.reward.kind=line"])
    assert chosen.adapter.others == {"reward": PartSpec("line")}
    with pytest.raises(
        TransferError, match="unknown group under .adapter. for the method 'dt' 'reward'. Known: state, ac"
    ):
        load_config(write(TUNED), ["adapter.reward.kind=line"])
