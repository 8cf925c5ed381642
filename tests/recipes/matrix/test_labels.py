"""Names of runs: readable, and names of folders on every file system."""

import re

import pytest

from transfer.recipes.matrix.labels import (
    LONGEST,
    Place,
    body_name,
    labels_of,
    method_names,
    origin_name,
    source_names,
    target_names,
)
from transfer.recipes.settings.sections import DataConfig, SourceConfig
from transfer.registry import PartSpec


def source(*data: str, **options: object) -> SourceConfig:
    return SourceConfig(data=data, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (source("hopper/expert"), "hopper"),
        (source("bundled/hopper/expert-v0"), "hopper"),
        (source("mujoco/walker2d/medium-v0", "mujoco/walker2d/expert-v0"), "walker2d"),
        (source("mujoco/walker2d/medium-v0, mujoco/walker2d/expert-v0"), "walker2d"),
        (source("D4RL/antmaze/umaze-v1"), "antmaze-umaze"),
        (source("D4RL/pen/expert-v2"), "pen"),
        (source("me/crawler/medium-v3"), "crawler"),
        (source("imported/my-hopper-v0"), "imported-my-hopper"),
        (source("lonely-v0"), "lonely"),
        (source("con-v0"), "con-1"),
        (source("hopper/expert", name="hop"), "hop"),
        (source("hopper/expert", env="my_env:Slippery-v0"), "Slippery"),
        (SourceConfig(fallback="hopper/medium"), "hopper"),
        (SourceConfig(), ""),
        (DataConfig(data=("é/ü-v0",)), "source"),
    ],
)
def test_a_body_is_called_as_its_environment(body: DataConfig, name: str) -> None:
    assert body_name(body) == name


def test_more_is_said_where_it_tells_two_apart_and_only_there() -> None:
    entries = [
        (source("hopper/expert"), source("walker2d/expert")),
        (source("hopper/expert"),),
        (source("mujoco/hopper/medium-v0", "mujoco/hopper/expert-v0"),),
        (source("walker2d/expert"),),
    ]
    assert source_names(entries) == ["hopper+walker2d", "hopper-expert", "hopper-medium-expert", "walker2d"]
    same = [(source("hopper/expert"),), (source("mujoco/hopper/expert-v0"),)]
    assert source_names(same) == ["hopper-expert", "mujoco-hopper-expert-v0"]
    weighted = [(source("hopper/expert", weight=one),) for one in (1.0, 2.0)]
    names = source_names(weighted)
    assert len(set(names)) == 2 and all(re.fullmatch("hopper-expert-[0-9a-f]{6}", one) for one in names)
    assert source_names(weighted[::-1]) == names[::-1]


def test_targets_of_other_sizes_have_one_name_and_methods_their_options() -> None:
    sizes = [DataConfig(data=("hopper/expert",), episodes=one) for one in (5, 10)]
    assert target_names(sizes) == ["hopper", "hopper"]
    assert method_names([PartSpec("dt"), PartSpec("x", {"a": 1}), PartSpec("x", {"a": 2})]) == ["dt", "x,a=1", "x,a=2"]


@pytest.mark.parametrize(
    ("origin", "name"), [("", ""), ("runs/hopper", "hopper"), ("/a/runs/hopper/trunk/0", "hopper"), ("runs/0", "0")]
)
def test_a_trunk_from_elsewhere_is_called_as_its_run(origin: str, name: str) -> None:
    assert origin_name(origin) == name


@pytest.mark.parametrize(
    ("one", "label"),
    [
        (Place("hopper+walker2d", "halfcheetah", "", None, {}), "hopper+walker2d-to-halfcheetah"),
        (Place("", "walker2d", "udrl", 10, {}), "walker2d-udrl-10-episodes"),
        (Place("", "walker2d", "", 0, {}), "walker2d-all-episodes"),
        (
            Place("", "pen", "", None, {"trunk.width": 256, "adapt.lr": 0.001, "run.compile": True}),
            "pen-trunk.width=256-adapt.lr=0.001-run.compile=true",
        ),
        (Place("", "pen", "", None, {"adapter.tuning.sites": ["q", "v"]}), "pen-adapter.tuning.sites=q,v"),
        (
            Place("", "pen", "", None, {"target.filter": {"kind": "best", "share": 0.1}}),
            "pen-target.filter=kind=best,share=0.1",
        ),
        (Place("", "pen", "", None, {"pretrain.from": "/a b/../c:*?"}), "pen-pretrain.from=-a-b-..-c"),
    ],
)
def test_a_label_names_the_coordinates(one: Place, label: str) -> None:
    assert labels_of([one]) == [label]


def test_labels_differ_in_more_than_case_and_are_short() -> None:
    values = ["a b", "a-b", "A-B", "c", "x" * 300, "x" * 299 + "y"]
    labels = labels_of([Place("hopper", "pen", "", None, {"run.device": one}) for one in values])
    assert len({one.lower() for one in labels}) == len(values) and labels[3] == "hopper-to-pen-run.device=c"
    assert all(re.fullmatch(r"[A-Za-z0-9_.,=+-]+", one) and len(one) <= LONGEST for one in labels)
