"""Arrays given to `Episodes.from_arrays`: the same numbers in every form there is, and what is no array of numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.engine import Accepted, Refused, Trial
from tests.campaign.sandbox import Place

LENGTHS = [9, 11]
SHAPES = {"states": (20, 11), "actions": (20, 3), "rewards": (20,)}
Form = Callable[[np.ndarray], Any]


def numbers() -> dict[str, Any]:
    """Multiples of 1/8, which every type of float holds; rewards are whole. They belong to Hopper-v5."""
    rng = np.random.default_rng(7)
    arrays = {key: rng.integers(-8, 9, shape).astype(np.float32) / 8 for key, shape in SHAPES.items()}
    return arrays | {"rewards": rng.integers(0, 4, 20).astype(np.float32), "lengths": LENGTHS, "env": "Hopper-v5"}


def tensor(values: np.ndarray, **options: Any) -> Any:
    """A torch tensor."""
    import torch

    return torch.tensor(values, **options)


def mapped(values: np.ndarray) -> np.ndarray:
    """A memory map."""
    np.save("mapped.npy", values)
    return np.load("mapped.npy", mmap_mode="r")


def locked(values: np.ndarray) -> np.ndarray:
    """An array that cannot be written."""
    values.flags.writeable = False
    return values


class Own(np.ndarray):
    """A subclass of somebody's."""


SAME: dict[str, Form] = {
    "float32": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "nested lists": lambda x: x.tolist(),
    "a tuple of rows": tuple,
    "columns first": np.asfortranarray,
    "read backwards": lambda x: x[::-1].copy()[::-1],
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "turned": lambda x: x.T.copy().T,
    "read-only": locked,
    "a memory map": mapped,
    "a subclass": lambda x: x.view(Own),
    "a tensor": tensor,
    "a tensor of float64": lambda x: tensor(x.astype(np.float64)),
    "a tensor of bfloat16": lambda x: tensor(x).bfloat16(),
    "a tensor with a gradient": lambda x: tensor(x, requires_grad=True),
    "a tensor read every other row": lambda x: tensor(np.repeat(x, 2, axis=0))[::2],
    "Python's numbers and NumPy's": lambda x: [list(row) if x.ndim == 2 else row for row in x],
}
SAME_LENGTHS: dict[str, Form] = {
    "a list": list,
    "a tuple": tuple,
    "int64": lambda x: np.array(x),
    "int32": lambda x: np.array(x, np.int32),
    "uint8": lambda x: np.array(x, np.uint8),
    "floats without fractions": lambda x: np.array(x, np.float64),
    "a tensor": lambda x: tensor(np.array(x)),
    "NumPy's numbers": lambda x: [np.int64(one) for one in x],
}


def replaced(index: Any, value: float) -> Form:
    """One number is another, in float64."""

    def change(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64)
        values[index] = value
        return values

    return change


WRONG: dict[str, Form] = {
    "nan": replaced(3, np.nan),
    "inf": replaced(-1, np.inf),
    "-inf": replaced(0, -np.inf),
    "beyond float32": replaced(0, 1e39),
    "masked": lambda x: np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) == 4),
    "complex": lambda x: x + 1j,
    "complex without imaginary parts": lambda x: x.astype(np.complex64),
    "dates": lambda x: x.astype("M8[s]"),
    "time spans": lambda x: x.astype("m8[s]"),
    "objects": lambda x: x.astype(object),
    "fractions": lambda x: np.vectorize(Fraction, otypes=[object])(x),
    "text": lambda x: x.astype("U8"),
    "bytes": lambda x: x.astype("S8"),
    "truth values": lambda x: x > 0,
    "records": lambda x: np.zeros(len(x), [("a", "f4")]),
    "None": lambda x: None,
    "a number": lambda x: 3.0,
    "a word": lambda x: "abc",
    "a set": lambda x: {1.0, 2.0},
    "a generator": lambda x: (row for row in x),
    "a mapping of the wrong kind": lambda x: {"a": 1},
    "rows of different lengths": lambda x: [*x[:-1].tolist(), [1.0]],
    "an axis more": lambda x: x[..., None],
    "all axes gone": lambda x: x.sum(),
    "no rows": lambda x: x[:0],
    "a row less": lambda x: x[:-1],
    "a row more": lambda x: np.concatenate([x, x[:1]]),
    "a sparse tensor": lambda x: tensor(x).to_sparse(),
    "a meta tensor": lambda x: tensor(x).to("meta"),
    "a complex tensor": lambda x: tensor(x + 1j),
    "a list with None": lambda x: [None, *x[1:].tolist()],
}
WRONG_LENGTHS: dict[str, Any] = {
    "another sum": [9, 10],
    "an empty episode": [9, 0, 11],
    "a negative one": [21, -1],
    "a fraction": [9.5, 10.5],
    "beyond int64": [2**70, 20 - 2**70],
    "sums beyond int64": [2**62, 2**62, 2**63 - 1, 20],
    "none": [],
    "two axes": [[9, 11]],
    "a number": 20,
    "text": "9, 11",
    "texts": ["9", "11"],
    "truth values": [True] * 20,
    "nan": [9.0, float("nan")],
    "None": [None, 20],
}
WRONG_REWARDS: dict[str, Any] = {
    "beyond any sum": [3e38] * 20,
    "sums beyond float32": [1e38] * 20,
}
WRONG_ENVS: dict[str, Any] = {
    "a misspelt id": "Hoper-v5",
    "None": None,
    "a number": 3,
    "an object": object(),
    "nothing": "",
    "a NUL": "Hopper-v5\0",
    "Discrete actions": "CartPole-v1",
    "another body": "Walker2d-v5",
    "a module that is not there": "no_such_module:Hopper-v5",
    "a module without it": "json:Hopper-v99",
    "a list": ["Hopper-v5"],
    "a spec as text": '{"id": "Hopper-v5"}',
}


def make(rng: random.Random, shop: Path) -> Trial:
    """One argument in another form, or one that is wrong; sometimes all in other forms."""
    kind = rng.random()
    if kind < 0.3:
        key, form = rng.choice(list(SHAPES)), rng.choice(list(SAME))
        return trial(f"{key}: {form}", {key: SAME[form]}, right=True)
    if kind < 0.36:
        return trial(
            f"lengths: {(form := rng.choice(list(SAME_LENGTHS)))}", {"lengths": SAME_LENGTHS[form]}, right=True
        )
    if kind < 0.42:
        forms = {key: rng.choice(list(SAME)) for key in SHAPES}
        return trial(f"all: {', '.join(forms.values())}", {key: SAME[form] for key, form in forms.items()}, right=True)
    if kind < 0.84:
        key, form = rng.choice(list(SHAPES)), rng.choice(list(WRONG))
        return trial(f"{key}: {form}", {key: WRONG[form]}, right=False)
    key, table = rng.choice([("lengths", WRONG_LENGTHS), ("env", WRONG_ENVS), ("rewards", WRONG_REWARDS)])
    form = rng.choice(list(table))
    return trial(f"{key}: {form}", {key: lambda _: table[form]}, right=False)


def trial(name: str, forms: dict[str, Form], right: bool) -> Trial:
    """`from_arrays` with some arguments in other forms."""

    def act(place: Place) -> str:
        from transfer import Episodes

        given = numbers()
        given |= {key: form(given[key]) for key, form in forms.items()}
        return Episodes.from_arrays(**given).content_hash

    def check(found: str) -> None:
        from transfer.data.packed import content_hash

        plain = numbers()
        offsets = np.cumsum([0, *LENGTHS], dtype=np.int64)
        wanted = content_hash({key: plain[key] for key in SHAPES} | {"offsets": offsets})
        assert found == wanted, f"{found}, not {wanted}"

    wants = Accepted(check) if right else Refused()
    return Trial(name, act, wants, writes=("work/mapped.npy",), keeps=("work/mapped.npy",))
