"""The keys of a run's TOML: every key with values that are right and wrong, by file, by `--set` and in `[quick]`."""

from __future__ import annotations

import functools
import json
import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.sandbox import Place
from tests.campaign.shop import DATA, HOPPER, TINY, WALKER, toml

FILE = "my.toml"
# TOML literals that are wrong for every key of a kind: other types, numbers that are none, sizes that never end.
WRONG: dict[str, tuple[str, ...]] = {
    "size": (
        *'true 1.5 "5" [1] nan inf -inf -1 1e30 1979-05-27 07:32:00 {a=1} [[1]] -9223372036854775809'.split(),
        *("9" * 16, "9" * 30),
    ),
    "real": ("true", '"1"', "nan", "inf", "-inf", "[]", "1979-05-27T07:32:00Z", "{}", "-0.5", "9" * 400),
    "reals": ("true", '"1"', "[true]", "[[]]", '["a"]', "{}", "[nan]", "[inf]", "[-0.5]", "[1, 2, 3]"),
    "text": ("3", "true", "[]", "1.5", "{}", "1979-05-27", '"nonsense"', '"\\u0000"', '"a\\u001b[31mb"', '"../../etc"'),
    "flag": ("1", "0", '"true"', "[]", "1.0", "nan", "{}"),
    "sizes": ("3", "true", '"0,1"', "[1.5]", "[true]", '["0"]', "[-1]", "[0, 0]", "[]", "[nan]", "[[0]]", "{}"),
    "texts": ("3", "true", "[3]", "[true]", "[[]]", '[""]', '["\\u0000"]', '["a", 3]', "{}", "[nan]", '["none such"]'),
}


@dataclass(frozen=True)
class Key:
    """A key: kind of its values, literals that are right, literals that are wrong besides those of its kind."""

    kind: str
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()


def training(section: str) -> dict[str, Key]:
    """The keys of `[pretrain]` and `[adapt]`."""
    return {
        f"{section}.steps": Key("size", ("1", "8", "100000"), ("0",)),
        f"{section}.batch_size": Key("size", ("1", "64"), ("0",)),
        f"{section}.lr": Key("real", ("1e-9", "0.1", "1"), ("0", "0.0")),
        f"{section}.adapter_lr": Key("real", ("0", "1e-9", "0.1", "1")),
        f"{section}.schedule": Key("text", ('"cosine"', '"linear-tail"'), ('""', '"linear"')),
        f"{section}.warmup_steps": Key("size", ("0", "1", "100")),
        f"{section}.warmup": Key("real", ("0", "0.5", "1"), ("1.1", "2")),
        f"{section}.final_lr": Key("real", ("0", "0.5", "1"), ("1.1", "2")),
        f"{section}.weight_decay": Key("real", ("0", "0.1")),
        f"{section}.state_noise": Key("real", ("0", "0.1")),
        f"{section}.clip": Key("real", ("0.1", "5"), ("0",)),
        f"{section}.context": Key("size", ("1", "2", "4"), ("0",)),
        f"{section}.log_every": Key("size", ("1", "2", "4"), ("0", "3")),  # save_every is a multiple of it
        f"{section}.save_every": Key("size", ("2", "4", "500"), ("0", "3")),
    }


KEYS: dict[str, Key] = {
    "source.data": Key("texts", (f'["{HOPPER}"]', '["hopper/expert", "hopper/medium"]')),
    "source.filter": Key("text", ('""',), ('"best"',)),
    "source.episodes": Key("size", ("0", "1")),
    "source.weights": Key("reals", ("[]", "[0.5]"), ("[0]", "[1, 2]", "[-1]")),
    "source.name": Key("text", ('""', '"hop"'), ('"a/b"', '"a b"')),
    "source.weight": Key("real", ("0.5", "2"), ("0",)),
    "source.env": Key("text", ('""', '"Hopper-v5"'), ('"Hoper-v5"',)),
    "source.fallback": Key("text", ('"hopper/expert"', '""')),
    "target.data": Key("texts", (f'["{WALKER}"]', '["bundled/walker2d/medium-v0"]')),
    "target.filter": Key("text", ('""',), ('"best"',)),
    "target.episodes": Key("size", ("0", "1")),
    "target.weights": Key("reals", ("[]", "[3]"), ("[0.0]", "[1, 2]", '["a"]')),
    "target.env": Key("text", ('""', '"Walker2d-v5"'), ('"Hopper-v5"', '"no_such_module:X-v0"')),
    "target.fallback": Key("text", ('"walker2d/expert"', '""')),
    "trunk.width": Key("size", ("2", "16", "64"), ("0", "3", "7")),
    "trunk.depth": Key("size", ("1", "2", "12"), ("0",)),
    "trunk.heads": Key("size", ("1", "2", "4"), ("0", "3", "32")),
    "trunk.dropout": Key("real", ("0", "0.5", "0.99"), ("1", "1.5")),
    "adapter.state.kind": Key("text", ('"linear"', '"mlp"'), ('""', '"LINEAR"')),
    "adapter.action.kind": Key("text", ('"ActionTokenizedEmbedding"',), ('""', '"actionembedding"')),
    "adapter.action.tokenizer": Key("text", ('"quantile"', '"uniform"', '"mu-law"'), ('""', '"mu_law"')),
    "adapter.action.bins": Key("size", ("2", "64", "1024"), ("0", "1")),
    "adapter.action.ranges": Key("text", ('"per-dimension"', '"shared"', '"shared+index"'), ('""',)),
    "adapter.action.readout": Key("text", ('"regression"', '"categorical"'), ('""',)),
    "adapter.tuning.kind": Key("text", ('"ia3"',), ('"ia4"',)),
    "method.kind": Key("text", ('"dt"',), ('""', '"td"')),
    "adapter.out_of_bounds": Key("text", ('"clip"', '"refuse"'), ('""',)),
    **training("pretrain"),
    "pretrain.from": Key("text", ('""',)),
    **training("adapt"),
    "adapt.modes": Key("texts", ('["embeddings"]', '["full", "mlp"]'), ("[]", '["mlp", "mlp"]', '["emeddings"]')),
    "adapt.inherit_from": Key("text", ('""',), ('"none such"',)),
    "adapt.inherit": Key("text", ('"none"', '"action"'), ('""', '"state"')),
    "eval.episodes": Key("size", ("1", "100"), ("0",)),
    "eval.ask": Key(
        "texts", ("[{}]", '[{return = "p95"}, {return = -5.5}]'), ("[]", '[{return = "p101"}]', '[{goal = "left"}]')
    ),
    "eval.envs": Key("size", ("1", "100"), ("0",)),
    "eval.decode": Key("text", ('"autoregressive"', '"parallel"'), ('""',)),
    "eval.calibrate": Key("size", ("0", "10")),
    "eval.probe_every": Key("size", ("0", "4")),
    "eval.probe_episodes": Key("size", ("1", "10"), ("0",)),
    "run.seeds": Key("sizes", ("[0]", "[2, 1]")),
    "run.device": Key("text", ('"auto"', '"cpu"'), ('"cuda:99"', '"gpu"', '"cpu:x"')),
    "run.threads": Key("size", ("0", "1", "4")),
    "run.precision": Key("text", ('"auto"', '"float32"', '"bfloat16"'), ('"float16"', '""')),
    "run.imports": Key("texts", ("[]", '["json"]'), ('["no_such_module"]', '["a b"]')),
    "run.held_out": Key("flag", ("true", "false")),
    "run.compile": Key("flag", ("true", "false")),
}
# What else has to be said with some right values, so that the whole is right.
WITH = {
    ("adapter.action.kind", '"ActionTokenizedEmbedding"'): {},
    ("trunk.width", "2"): {"trunk.heads": "1"},
    ("pretrain.save_every", "2"): {"pretrain.log_every": "1"},
    ("adapt.save_every", "2"): {"adapt.log_every": "1"},
}


def make(rng: random.Random, shop: Path) -> Trial:
    """A key with a right or a wrong value, or a text with something else in it."""
    if rng.random() < 0.2:
        return whole_text(rng)
    name = rng.choice(list(KEYS))
    key = KEYS[name]
    if rng.random() < 0.45:
        literal = rng.choice(key.right)
        return right_value(name, literal, rng.choice(("file", "set", "quick")))
    literal = rng.choice((*WRONG[key.kind], *key.wrong))
    # An empty table in [quick] is a section without keys.
    return wrong_value(name, literal, rng.choice(("file", "set") if literal == "{}" else ("file", "set", "quick")))


def document(changes: dict[str, str]) -> str:
    """The tiny config with some literals in place of others."""
    sections = {name: {key: json.dumps(value) for key, value in values.items()} for name, values in TINY.items()}
    for dotted, literal in changes.items():
        section, _, key = dotted.rpartition(".")
        sections.setdefault(section, {})[key] = literal
    lines = [f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in values.items()) for name, values in sections.items()]
    return "\n\n".join(lines) + "\n"


def roads(changes: dict[str, str], road: str) -> tuple[str, list[str]]:
    """The file and the options that say the same thing by one of the three roads."""
    if road == "file":
        return document(changes), []
    if road == "quick":
        return document({}) + "\n[quick]\n" + "".join(f"{k} = {v}\n" for k, v in changes.items()), ["--quick"]
    return document({}), [part for k, v in changes.items() for part in ("--set", f"{k}={v}")]


def wrong_value(name: str, literal: str, road: str) -> Trial:
    """Refused before anything is made, naming the key."""
    text, options = roads({name: literal}, road)
    words = (name.rpartition(".")[2],) if KEYS[name].kind not in ("texts", "text") else ()
    return Trial(
        f"{road}: {name} = {literal:.40}",
        lambda place: place.transfer("run", FILE, *options),
        Refused(words),
        DATA,
        lambda place: (place.work / FILE).write_text(text, encoding="utf-8"),
        writes=("work/runs/",),
    )


def right_value(name: str, literal: str, road: str) -> Trial:
    """Read as what TOML says, and written out again as the same."""
    text, options = roads({name: literal} | WITH.get((name, literal), {}), road)

    def check(table: dict[str, Any]) -> None:
        wanted, found = tomllib.loads(f"value = {literal}")["value"], value_at(table, name)
        assert found == wanted, f"{found!r}, not {wanted!r}"

    return Trial(
        f"{road}: {name} = {literal:.40}",
        lambda place: read(options),
        Accepted(check),
        (),
        lambda place: (place.work / FILE).write_text(text, encoding="utf-8"),
    )


def value_at(table: dict[str, Any], dotted: str) -> Any:
    """A value of a table in tables by its dotted key."""
    for name in dotted.split("."):
        table = table[name]
    return table


def read(options: list[str]) -> dict[str, Any]:
    """The file as a config and as a table; writing the config and reading it again gives an equal one."""
    from transfer.recipes.settings.config import config_table, dump_config, load_config

    config = load_config(FILE, [one for one in options if not one.startswith("--")], "--quick" in options)
    Path("again.toml").write_text(dump_config(config), encoding="utf-8")
    assert load_config("again.toml") == config
    Path("again.toml").unlink()
    return config_table(config)


def deep(depth: int) -> str:
    """A list in a list in a list."""
    return f"[eval]\nask = {'[' * depth}{']' * depth}\n"


@functools.cache
def texts() -> dict[str, tuple[bytes, tuple[str, ...] | None]]:
    """Whole texts: name -> (bytes, words of the refusal; None where it is accepted as the tiny config)."""
    plain, long = toml(), "x" * 2**20  # longer than any file of ours
    return {
        "as it is": (plain.encode(), None),
        "byte-order mark": (b"\xef\xbb\xbf" + plain.encode(), None),
        "lines of Windows": (plain.replace("\n", "\r\n").encode(), None),
        "a long comment": (f"# {long[:100_000]}\n{plain}".encode(), None),
        "comments in every script": (f"# Größe, 大きさ, 🤖\n{plain}".encode(), None),
        "sections from the last to the first": (toml(dict(reversed(TINY.items()))).encode(), None),
        "an empty quick table": (f"{plain}\n[quick]\n".encode(), None),
        "nothing": (b"", ("target",)),
        "a comment": (b"# nothing\n", ("target",)),
        "a NUL": (plain.encode() + b"\0", ()),
        "UTF-16": (plain.encode("utf-16"), ()),
        "Latin-1": ("# Größe\n".encode("latin-1") + plain.encode(), ()),
        "a key twice": (plain.replace("[trunk]\n", "[trunk]\nwidth = 4\n").encode(), ("TOML",)),
        "a section twice": (f"{plain}\n[trunk]\nheads = 1\n".encode(), ("TOML",)),
        "a list of tables": (plain.replace("[trunk]", "[[trunk]]").encode(), ("trunk",)),
        "a section that is a number": (b"trunk = 3\n" + plain.replace("[trunk]", "[trunk.x]").encode(), ()),
        "an open bracket": (plain.replace("[trunk]", "[trunk").encode(), ("TOML",)),
        "an open text": (f'{plain}\nx = "a\n'.encode(), ("TOML",)),
        "a misspelt section": (plain.replace("[trunk]", "[trunc]").encode(), ("trunc", "trunk")),
        "a misspelt key": (plain.replace("width", "widht").encode(), ("widht", "width")),
        "a key of another section": (plain.replace("[eval]\n", "[eval]\nwidth = 8\n").encode(), ("width",)),
        "a key outside of sections": (f"width = 8\n{plain}".encode(), ("width",)),
        "an unknown key in quick": (f"{plain}\n[quick]\ntrunk.widht = 8\n".encode(), ("widht",)),
        "a wrong value in quick": (f"{plain}\n[quick]\ntrunk.width = true\n".encode(), ("width",)),
        "lists a hundred thousand deep": ((plain.split("[eval]")[0] + deep(100_000)).encode(), ()),
        "tables two thousand deep": (f"{plain}\n[quick]\n{'.'.join('a' * 2000)} = 1\n".encode(), ()),
        "a key of a megabyte": (f"{plain}\n[quick]\n{long} = 1\n".encode(), ()),
        "a value of a megabyte": (plain.replace("[trunk]\n", f'[trunk]\nx = "{long}"\n').encode(), ()),
        "a number of a megabyte": (plain.replace("width = 16", f"width = 1{'0' * 2**20}").encode(), ()),
        "a name with escape codes": (f'{plain}\n[quick]\n"a\\u001b[2J" = 1\n'.encode(), ()),
        "random bytes": (random.Random(0).randbytes(3000), ()),
    }


def whole_text(rng: random.Random) -> Trial:
    """A file that is right or wrong as a whole."""
    name = rng.choice(list(texts()))
    content, words = texts()[name]

    def check(table: dict[str, Any]) -> None:
        for section, values in TINY.items():
            assert {key: value_at(table, f"{section}.{key}") for key in values} == values

    act: Callable[[Place], Any] = lambda place: place.transfer("run", FILE) if words is not None else read([])  # noqa: E731
    return Trial(
        f"text: {name}",
        act,
        Accepted(check) if words is None else Refused(words),
        DATA,
        lambda place: (place.work / FILE).write_bytes(content),
        writes=("work/runs/",),
    )
