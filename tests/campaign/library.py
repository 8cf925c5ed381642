"""Calls of the library with one argument that is another: every public function, by the names of its arguments."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign import library_calls as calls
from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.library_calls import Kit
from tests.campaign.sandbox import Place
from tests.campaign.shop import OWN, RUNS

NAN, INF = float("nan"), float("inf")
# What is wrong in the place of an argument, by what it stands for; `Some` are without None, which is a default there.
Some: tuple[Any, ...] = (object(), [], {}, b"x", len, np.array([1, 2]), 1j, np.datetime64("2020-01-01"))
NOTHING: tuple[Any, ...] = (None, *Some)
SEED = (*NOTHING, "5", True, 2.5, NAN, INF, -1, 10**400, np.float64(NAN), Decimal("NaN"), [3])
WHOLE = (*SEED, 10**16)
SIZE = (*WHOLE, 0)
REAL = (*NOTHING, "0.1", True, NAN, INF, -INF, 10**400, np.float32(NAN))
TEXT = (*NOTHING, 3, True, 0.5, "nonsense", "", "a\0b", np.str_("nonsense"))
FLAG = (*NOTHING, 3, 0.5, "yes", "", -1)
KIND = (*Some, 3, True, "x")
DEVICE = (*TEXT, "cuda:99", "cpu:x")
ENV = (*KIND, "Hoper-v5", "CartPole-v1", "no_such_module:X-v0")
# The same number as Python's 2, and as 0.5.
TWO = (2, 2.0, np.int64(2), np.int8(2), np.uint64(2), np.float32(2), np.array(2))
HALF = (0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5))
ZERO = (0, np.int64(0), 0.0)


@dataclass(frozen=True)
class Call:
    """A call that is right.

    Attributes:
        call: the kit and the arguments -> what comes of it.
        wrong: by argument, values that are not.
        right: by argument, values that give the same as the first of them.
        writes: what a right call may make.
    """

    call: Callable[..., Any]
    wrong: dict[str, tuple[Any, ...]]
    right: dict[str, tuple[Any, ...]]
    writes: tuple[str, ...] = ()


def each(keys: str, values: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
    """The same values for several arguments."""
    return dict.fromkeys(keys.split(), values)


def without(values: tuple[Any, ...], *kinds: type) -> tuple[Any, ...]:
    """Values of other types only."""
    return tuple(value for value in values if type(value) not in kinds)


PLAY = each("num_episodes num_envs", SIZE) | {"decode": TEXT, "first_seed": SEED, "on_episode": (3, "x")}
PLAY_RIGHT = each("num_episodes num_envs", TWO) | {"first_seed": (10_000, 1e4)}
TRAIN = each("episodes config adapter_config trunk_config", KIND) | {
    "seed": (*SEED, -5),
    "device": DEVICE,
    "precision": (*KIND, "float8"),
    "compile": FLAG,
    "checkpoint": (*Some, 3, "", "a\0b"),
    "callbacks": (3, "x", None, object(), [3], ["x"], [print], [object]),
}
NUMBERS = "lr warmup final_lr weight_decay state_noise clip"
VECTOR = np.zeros(17)
CALLS: dict[str, Call] = {
    "TrainConfig": Call(
        calls.config("TrainConfig"),
        each("steps batch_size context save_every", SIZE) | each(NUMBERS, (*REAL, -0.1)) | {"log_every": (*SIZE, 3)},
        each("steps batch_size context", TWO) | each("lr warmup clip", HALF),
    ),
    "TrunkConfig": Call(
        calls.config("TrunkConfig"),
        each("width depth", SIZE) | {"heads": (*SIZE, 3, 7), "dropout": (*REAL, -0.1, 1, 1.5)},
        each("depth heads", TWO) | {"width": (64, np.int64(64)), "dropout": HALF},
    ),
    "AdapterConfig": Call(
        calls.config("AdapterConfig"),
        each("state action out_of_bounds", TEXT) | {"tuning": without(TEXT, type(None)), "others": without(KIND, dict)},
        {"state": ("linear", {"kind": "linear"}), "tuning": (None,), "others": ({},)},
    ),
    "options of an action embedding": Call(
        calls.options("action", "ActionTokenizedSpreadEmbedding"),
        each("tokenizer ranges readout kind", TEXT) | {"bins": (*SIZE, 1), "colour": TEXT},
        {"bins": TWO, "tokenizer": ("uniform",), "ranges": ("shared",)},
    ),
    "options of a state embedding": Call(
        calls.options("state", "mlp"), {"hidden": SIZE, "bins": SIZE}, {"hidden": TWO}
    ),
    "evaluate": Call(
        calls.evaluate,
        PLAY | each("target target_return", without(REAL, type(None))) | each("trust any_body", FLAG)
        | {"model": KIND, "env": (*ENV, "Hopper-v5", "HalfCheetah-v5")},
        PLAY_RIGHT | {"env": (None,)},
    ),
    "evaluate_together": Call(
        calls.evaluate_together,
        PLAY | {"model": KIND, "target_returns": (3, "x", {"nobody": 1.0}, {"walker": "x"}, {"walker": NAN})},
        PLAY_RIGHT | {"target_returns": (None, {})},
    ),
    "calibrate": Call(
        calls.calibrate,
        {key: PLAY[key] for key in ("num_episodes", "num_envs", "decode", "on_episode")}
        | {"model": KIND, "targets": (3, "x", [], ["x"], [NAN], [True], [10**400], object())},
        {"num_envs": TWO, "targets": ([2000.0], (2000,), np.array([2000.0]), [2000.0, 2000.0])},
    ),
    "adapt": Call(
        calls.adapt,
        TRAIN | each("trunk source", KIND)
        | {"mode": (*TEXT, "scratch"), "steps": without(SIZE, type(None)), "inherit_from_source": TEXT},
        {"seed": ZERO, "device": ("cpu",), "precision": ("auto", None), "steps": TWO, "mode": ("embeddings+ia3",)},
    ),
    "pretrain": Call(calls.pretrain, TRAIN, {"seed": ZERO, "device": ("cpu",)}),
    "WindowSampler": Call(
        calls.sampler,
        {"episodes": KIND, "context": (*SIZE, 12), "batch_size": SIZE, "seed": SEED, "device": DEVICE},
        {"context": TWO, "batch_size": TWO, "seed": ZERO},
    ),
    "policy": Call(
        calls.policy,
        each("target target_return", without(REAL, type(None))) | {"decode": TEXT},
        {"target": (None,), "decode": ("autoregressive",)},
    ),
    "act": Call(
        calls.act,
        {
            "observation": (*NOTHING, "x", True, VECTOR[1:], VECTOR[None], VECTOR + NAN, {"observation": VECTOR}),
            "reward": without(REAL, bool),  # environments pay truth values too
        },
        {
            "observation": (VECTOR, [0] * 17, VECTOR.astype(np.float16), np.zeros(34)[::2]),
            "reward": (1, 1.0, np.float32(1), np.int64(1)),
        },
    ),
    "build_adapter": Call(
        calls.build,
        each("episodes trunk config like", KIND) | each("tuning any_body", FLAG)
        | {"seed": SEED, "context": SIZE, "own": (3, "return", None, ["state"], ["nobody"], [3], object())},
        {"seed": ZERO, "tuning": (False, np.False_), "own": ([], ())},
    ),
    "load_episodes": Call(
        calls.load,
        {
            "source": (*NOTHING, 3, True, "", "own", "own/hoper-v0", f"../{OWN}", "a\0b-v0", [OWN, OWN], [3]),
            "trust": FLAG,
            "env": (*ENV, "Walker2d-v5"),
        },
        {"source": (OWN, [OWN], (OWN,), f" {OWN} "), "env": (None, "Hopper-v5")},
    ),
    "save_dataset": Call(
        calls.save_dataset,
        {
            "episodes": KIND,
            "dataset_id": (*NOTHING, 3, "", "x", "../x-v0", "/x-v0", "a b-v0", "x-v", "a\0b-v0", "x" * 300, OWN),
            "env": (*ENV, "Walker2d-v5"),
            "overwrite": FLAG,
            "description": (*NOTHING, 3),
        },
        {"dataset_id": ("mine/hopper-v0", "mine/a/b-v3", "mein/Größe-v1"), "description": ("notes",), "env": (None,)},
        ("datasets/mine/", "datasets/mein/"),
    ),
    "ReferenceScores": Call(
        calls.scores,
        {"table": (*NOTHING, 3), "minimum": (*REAL, 2, 3), "maximum": (*REAL, 0, -1)},
        {"minimum": (0, np.float32(0)), "maximum": TWO},
    ),
    "TransferModel": Call(calls.put_together, each("trunk adapter", KIND), each("trunk adapter", (None,))),
    "MixedModel": Call(
        calls.mix,
        {"trunk": KIND, "adapters": (3, "x", {}, [], {"a": 3}, {3: None}, object())},
        each("trunk adapters", (None,)),
    ),
    "train_only": Call(
        calls.train_only,
        {"model": KIND, "parts": (3, "state", [], ["nobody"], [3], None)},
        {"parts": (["state", "action"], ("state", "action"))},
    ),
}  # fmt: skip


def make(rng: random.Random, shop: Path) -> Trial:
    """A call with one argument that is wrong, or one that says the same in another way."""
    name = rng.choice(list(CALLS))
    call, right = CALLS[name], rng.random() < 0.4
    argument = rng.choice(list(call.right if right else call.wrong))
    value = rng.choice((call.right if right else call.wrong)[argument])
    shown = f"{name}({argument}={value!r:.60})"
    if not right:
        return Trial(shown, lambda place: call.call(Kit(), **{argument: value}), Refused(), RUNS)

    def twice(place: Place) -> tuple[Any, Any]:
        first = call.right[argument][0]
        return call.call(Kit(), **{argument: first}), None if value is first else call.call(Kit(), **{argument: value})

    def equal(both: tuple[Any, Any]) -> None:
        assert both[1] is None or both[0] == both[1], both

    return Trial(shown, twice, Accepted(equal), RUNS, writes=call.writes)
