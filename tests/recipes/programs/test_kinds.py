"""A trunk remembers what adapter it was trained with, and what it was before; a new adapter takes the kinds over."""

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.hooks import Hooks
from tests.kinds import config_of
from transfer.data.episodes import Episodes
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.models.provenance import Provenance
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk, TrunkConfig
from transfer.recipes.programs.adapt import adapt
from transfer.recipes.programs.pretrain import PretrainResult, pretrain
from transfer.storage.fingerprints import fingerprint
from transfer.training.train_config import TrainConfig

CONFIG = TrainConfig(steps=2, batch_size=4, context=3)
SMALL = TrunkConfig(width=16, depth=2, heads=2)
WHOLE = config_of("ActionEmbedding", state="linear")
SPREAD = config_of("ActionTokenizedSpreadEmbedding", bins=16, ranges="shared")


def make(name: str, seed: int = 0) -> Episodes:
    spec, rng = environment(name), np.random.default_rng(seed)
    states, actions = rng.normal(size=(10, spec.state_size)), rng.uniform(-1, 1, (10, spec.action_size))
    return Episodes.from_arrays(states, actions, rng.uniform(0, 1, 10), (6, 4), spec, name=f"test/{name}")


def pretrained(kinds: AdapterConfig = WHOLE) -> PretrainResult:
    return pretrain(make("hopper"), config=CONFIG, trunk_config=SMALL, adapter_config=kinds, seed=3)


@pytest.mark.parametrize("kinds", [WHOLE, SPREAD])
def test_an_adapter_is_of_the_kinds_that_the_trunk_was_trained_with(
    kinds: AdapterConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = pretrained(kinds).trunk
    trunk.save(tmp_path / "trunk")
    for same in (trunk, Trunk.load(tmp_path / "trunk")):
        assert adapt(same, make("walker2d"), "embeddings", config=CONFIG).adapter.config == kinds
    assert not caplog.records


def test_the_source_adapter_s_kinds_and_those_asked_for_come_first(caplog: pytest.LogCaptureFixture) -> None:
    source = pretrained(SPREAD)
    source.trunk.provenance = replace(source.trunk.provenance, adapter=WHOLE.to_json())
    result = adapt(source.trunk, make("walker2d"), "embeddings", config=CONFIG, source=source.adapter)
    assert result.adapter.config == SPREAD
    asked = config_of("ActionTokenizedEmbedding", bins=4)
    assert (
        adapt(source.trunk, make("walker2d"), "embeddings", config=CONFIG, adapter_config=asked).adapter.config == asked
    )
    assert not caplog.records


def test_a_layout_that_the_trunk_never_saw_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    trunk = pretrained(WHOLE).trunk
    with caplog.at_level(logging.WARNING):
        adapt(trunk, make("walker2d"), "embeddings", config=CONFIG, adapter_config=SPREAD)
    assert [record.getMessage() for record in caplog.records] == [
        "the trunk was trained with one token for an action (ActionEmbedding), this adapter has a token for each "
        "action dimension (ActionTokenizedSpreadEmbedding), which it never saw. Without adapter_config it gets the "
        "first."
    ]


def test_a_trunk_without_a_record_gets_the_library_s_kinds() -> None:
    result = adapt(Trunk(SMALL), make("walker2d"), "embeddings", config=CONFIG)
    assert result.adapter.config == AdapterConfig()


@pytest.mark.parametrize(
    "kinds",
    [
        "mlp",
        {**WHOLE.to_json(), "colour": "red"},
        {**WHOLE.to_json(), "action": {"kind": "Own"}},
        {**WHOLE.to_json(), "action": {"kind": "ActionEmbedding", "bins": 8}},
        {**SPREAD.to_json(), "action": {**SPREAD.action.to_json(), "bins": "many"}},
        {**WHOLE.to_json(), "others": 3},
        [1],
    ],
)
def test_a_record_that_was_edited_is_named(kinds: Any) -> None:
    trunk = pretrained().trunk
    trunk.provenance = replace(trunk.provenance, adapter=kinds)
    with pytest.raises(TransferError, match="the trunk's record of its adapter cannot be read"):
        adapt(trunk, make("walker2d"), "embeddings", config=CONFIG)
    assert adapt(trunk, make("walker2d"), "embeddings", config=CONFIG, adapter_config=WHOLE).adapter.config == WHOLE


def test_a_pretrained_trunk_says_what_trained_it() -> None:
    result = pretrained()
    assert result.trunk.provenance == Provenance(
        seed=3,
        start=result.trunk.provenance.start,
        datasets=("test/hopper",),
        content_hash=make("hopper").content_hash,
        training={"mode": "pretrain", "seed": 3, "steps": 2, "context": 3},
        adapter=WHOLE.to_json(),
    )


@pytest.mark.parametrize("mode", ["full", "scratch-adapt"])
def test_a_trunk_that_trained_again_says_what_trained_it_last_and_from_what(mode: str, tmp_path: Path) -> None:
    first = pretrained().trunk
    trunk = adapt(first, make("walker2d"), mode, config=CONFIG, seed=5).model.trunk  # type: ignore[union-attr]
    trunk.save(tmp_path / "trunk")
    record = Trunk.load(tmp_path / "trunk").provenance
    assert record.datasets == ("test/walker2d",) and record.content_hash == make("walker2d").content_hash
    assert record.training == {"mode": mode, "seed": 5, "steps": 2, "context": 3}
    if mode == "full":
        assert record.before == replace(first.provenance, trunk=fingerprint(first))
        assert (record.seed, record.start) == (3, first.provenance.start)
        control = adapt(trunk, make("walker2d"), "random-trunk:embeddings", config=CONFIG)
        assert control.before == first.provenance.start
    else:
        assert record.before is None and record.seed == 5


def test_a_shuffled_trunk_does_not_say_that_it_was_trained() -> None:
    first = pretrained().trunk
    trunk = adapt(first, make("walker2d"), "shuffled-trunk:embeddings", config=CONFIG, seed=5).model.trunk  # type: ignore[union-attr]
    before = replace(first.provenance, trunk=fingerprint(first))
    assert trunk.provenance == Provenance(shuffled={"seed": 5}, before=before)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", ["embeddings+ia3", "full", "random-trunk:embeddings", "mlp"])
def test_a_caller_s_trunk_is_given_back_as_it_was(mode: str, fails: bool) -> None:
    trunk = pretrained().trunk.train()
    trunk.blocks[0].eval()
    trunk.returns.weight.requires_grad_(False)
    record, mark = trunk.provenance, fingerprint(trunk)

    def state() -> tuple[list[bool], list[bool]]:
        return [module.training for module in trunk.modules()], [p.requires_grad for p in trunk.parameters()]

    def on_step(step: int) -> None:
        if fails:
            raise TransferError("stop here")

    before = state()
    if fails:
        with pytest.raises(TransferError, match="stop here"):
            adapt(trunk, make("walker2d"), mode, config=CONFIG, callbacks=[Hooks(step=on_step)])
    else:
        adapt(trunk, make("walker2d"), mode, config=CONFIG)
    assert state() == before and trunk.provenance == record and fingerprint(trunk) == mark
    assert all(p.grad is None for p in trunk.parameters())


class Watch:
    """Remembers what a hook saw, and cannot be copied."""

    def __init__(self) -> None:
        self.seen, self.lock = 0, threading.Lock()

    def hook(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.seen += 1


@pytest.mark.parametrize("mode", ["embeddings", "full", "shuffled-trunk:embeddings"])
def test_a_hook_on_the_trunk_sees_the_training_around_it(mode: str) -> None:
    trunk, watch = pretrained().trunk, Watch()
    trunk.ln_out.register_forward_hook(watch.hook)
    adapt(trunk, make("walker2d"), mode, config=CONFIG)
    assert watch.seen == CONFIG.steps


def test_a_size_that_is_not_the_trunk_s_is_refused() -> None:
    trunk = pretrained().trunk
    with pytest.raises(TransferError, match=r"trunk_config=.*depth=3.* is not that of the trunk"):
        adapt(trunk, make("walker2d"), "scratch-adapt", config=CONFIG, trunk_config=TrunkConfig(16, 3, 2))
