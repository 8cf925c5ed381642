"""Pretraining on several environments at once: one trunk, an adapter each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.hooks import Hooks
from transfer import (
    Episodes,
    MixedModel,
    TrainConfig,
    TransferError,
    TransferModel,
    TrunkConfig,
    WindowSampler,
    adapt,
    evaluate_together,
    fingerprint,
    pretrain,
)
from transfer.data.windows import MixedWindows
from transfer.recipes.programs.pretrain import PretrainResult
from transfer.training.fit import fit
from transfer.training.updates import noisy

SMALL = TrunkConfig(width=32, depth=2, heads=2)
SIZES = {"Hopper-v5": (11, 3), "Walker2d-v5": (17, 6), "Ant-v5": (105, 8)}


def episodes(env: str, seed: int = 0) -> Episodes:
    rng, lengths = np.random.default_rng(seed), [12] * 4
    states, actions = SIZES[env]
    steps = sum(lengths)
    return Episodes.from_arrays(
        rng.normal(0, 1 + seed, (steps, states)), rng.uniform(-1, 1, (steps, actions)), rng.random(steps), lengths, env
    )


HOPPER, WALKER = episodes("Hopper-v5"), episodes("Walker2d-v5", 3)


def run(data: Any, steps: int = 6, **options: Any) -> PretrainResult:
    settings = {"state_noise": 0.1, "batch_size": 4, "context": 4, "log_every": 2, "save_every": 2}
    config = TrainConfig(steps=steps, **settings)  # type: ignore[arg-type]
    return pretrain(data, config=config, trunk_config=SMALL, precision="float32", **options)


def test_each_source_has_an_adapter_and_a_loss() -> None:
    logs: list[dict[str, float]] = []
    result = run([HOPPER, WALKER], callbacks=[Hooks(log=lambda _, values: logs.append(values))])
    assert isinstance(result.model, MixedModel) and list(result.adapters) == ["hopper", "walker2d"]
    assert list(result.fit.selection.parts) == [
        *("trunk", "hopper.state", "hopper.action", "walker2d.state", "walker2d.action")
    ]
    for values in logs:
        each = [values["train/loss/hopper/action"], values["train/loss/walker2d/action"]]
        assert values["train/loss"] == pytest.approx(sum(each))
    assert {one.provenance.trunk for one in result.adapters.values()} == {fingerprint(result.trunk)}
    assert result.trunk.provenance.datasets == (*HOPPER.dataset_ids, *WALKER.dataset_ids)
    with pytest.raises(
        TransferError, match=r"there are adapters for hopper, walker2d: result\.adapters\[name\] is one"
    ):
        _ = result.adapter
    played = evaluate_together(MixedModel(result.trunk, result.adapters), 1, target_returns={"hopper": 1.0})
    assert list(played) == ["hopper", "walker2d"]


def test_the_gradient_is_the_sum_of_those_of_each_source() -> None:
    model = run({"one": HOPPER, "other": WALKER}, steps=1).model
    assert isinstance(model, MixedModel)
    samplers = {name: WindowSampler(data, 4, 4) for name, data in (("one", HOPPER), ("other", WALKER))}
    batches = MixedWindows(samplers).batch(3)
    for p in model.parameters():
        p.requires_grad_(True)
    sum(term.sum / term.count for term in model.loss(batches).values()).backward()  # type: ignore[union-attr]
    together = {name: p.grad.clone() for name, p in model.trunk.named_parameters() if p.grad is not None}
    model.zero_grad()
    for name, batch in batches.items():
        assert torch.equal(batch.states, samplers[name].batch(3).states) and len(batch.states) == 4
        term = model[name].loss(batch)["action"]
        (term.sum / term.count).backward()
    for name, p in model.trunk.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(together[name], p.grad, atol=1e-5, rtol=1e-4)


def test_noise_is_by_the_deviations_of_each_body() -> None:
    model = run([HOPPER, WALKER], steps=1).model
    batches = MixedWindows({"hopper": WindowSampler(HOPPER, 4, 64), "walker2d": WindowSampler(WALKER, 4, 64)}).batch(0)
    disturbed = noisy(batches, model, 0.5)
    for name, data in (("hopper", HOPPER), ("walker2d", WALKER)):
        difference = (disturbed[name].states - batches[name].states)[batches[name].mask].std(0)
        wanted = 0.5 * torch.tensor(data.states.std(0))
        torch.testing.assert_close(difference, wanted, atol=0, rtol=0.35)


def test_weights_scale_the_terms() -> None:
    logs: list[dict[str, float]] = []
    hooks = [Hooks(log=lambda _, values: logs.append(values))]
    model = run({"a": HOPPER, "b": WALKER}, weights={"b": 3.0}, callbacks=hooks).model
    assert logs[0]["train/loss"] == pytest.approx(logs[0]["train/loss/a/action"] + 3 * logs[0]["train/loss/b/action"])
    assert isinstance(model, MixedModel) and model.weights == {"a": 1.0, "b": 3.0}
    assert logs[0]["train/loss/b"] == pytest.approx(logs[0]["train/loss/b/action"])
    assert run([HOPPER, WALKER], steps=1, weights=[1, 2]).model.weights == {"hopper": 1.0, "walker2d": 2.0}  # type: ignore[union-attr]
    silent = run({"a": HOPPER, "b": WALKER}, weights={"b": 0.0}).adapters["b"]
    fresh = run({"a": HOPPER, "b": WALKER}, steps=1, weights={"b": 0.0}).adapters["b"]
    assert torch.equal(silent.state.fc_1.bias, fresh.state.fc_1.bias)  # nothing but decay moves what has no weight


@pytest.mark.parametrize("killed_at", [2, 5])
def test_a_resumed_pretraining_ends_in_equal_bytes(tmp_path: Path, killed_at: int) -> None:
    def kill(done: int) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    whole = run([HOPPER, WALKER])
    with pytest.raises(KeyboardInterrupt):
        run([HOPPER, WALKER], checkpoint=tmp_path, callbacks=[Hooks(step=kill)])
    assert fingerprint(run([HOPPER, WALKER], checkpoint=tmp_path).model) == fingerprint(whole.model)


def test_a_state_of_other_sources_is_refused(tmp_path: Path) -> None:
    run([HOPPER, WALKER], checkpoint=tmp_path)
    with pytest.raises(TransferError, match="belongs to another training"):
        run([HOPPER, episodes("Walker2d-v5", 4)], checkpoint=tmp_path)


@pytest.mark.parametrize("other", [{"hopper": 2.0}, None])
def test_a_state_of_other_weights_is_refused(other: dict[str, float] | None, tmp_path: Path) -> None:
    run([HOPPER, WALKER], checkpoint=tmp_path, weights={"walker2d": 0.5})
    with pytest.raises(TransferError, match=r"belongs to another training: .*objective\.walker2d was 0\.5, is 1\.0"):
        run([HOPPER, WALKER], checkpoint=tmp_path, weights=other)


def test_a_trunk_of_several_bodies_adapts_to_another() -> None:
    trunk = run([HOPPER, WALKER]).trunk
    before = fingerprint(trunk)
    result = adapt(
        trunk, episodes("Ant-v5"), "embeddings", config=TrainConfig(3, 4, context=4, log_every=3, save_every=3)
    )
    assert result.before == result.after == before and result.adapter.env_spec.name == "ant"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "episodes is of type list"),
        ([HOPPER, 3], {}, "episodes is of type int"),
        ([HOPPER, episodes("Hopper-v5", 1)], {}, "two sources are called 'hopper': join their data, or name them"),
        ({"a/b": HOPPER}, {}, "the source name 'a/b': letters, digits"),
        ({3: HOPPER}, {}, "the source name 3"),
        (HOPPER, {"weights": {"hopper": 2.0}}, "one source has none"),
        ([HOPPER, WALKER], {"weights": {"hoper": 2.0}}, "unknown name of a weight 'hoper'. Did you mean 'hopper'"),
        ([HOPPER, WALKER], {"weights": {"hopper": -1.0}}, "weight of 'hopper'"),
        ([HOPPER, WALKER], {"weights": [1.0, -1.0]}, "weight of 'walker2d'=-1.0"),
        *(
            (
                [HOPPER, WALKER],
                {"weights": bad},
                "give them by name, {'hopper': 1.0, 'walker2d': 1.0}, or in a list of 2",
            )
            for bad in ([1.0], [1, 2, 3], 2.0, "12", {1, 2}, np.array([1.0, 2.0]))
        ),
        ([HOPPER, WALKER], {"weights": {"hopper": 0, "walker2d": 0}}, "all weights are zero"),
    ],
)
def test_bad_sources_are_refused(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        run(data, **options)


def test_batches_are_those_of_the_model(make_model_and_data: Callable[[], tuple[TransferModel, Episodes]]) -> None:
    model, data = make_model_and_data()
    config = TrainConfig(2, 4, context=4, log_every=2, save_every=2)
    mixed = MixedWindows({"a": WindowSampler(data, 4, 4)})
    with pytest.raises(TransferError, match="the batches are for a, the model holds one policy"):
        fit(model, mixed, config, ["state"])
    several = MixedModel(model.trunk, {"b": model.adapter})
    with pytest.raises(TransferError, match="the batches are for a, the model holds b"):
        fit(several, mixed, config, ["b.state"])
    with pytest.raises(TransferError, match="samplers of 2 batch sizes and seeds"):
        MixedWindows({"a": WindowSampler(data, 4, 4), "b": WindowSampler(data, 4, 5)})


@pytest.fixture
def make_model_and_data() -> Callable[[], tuple[TransferModel, Episodes]]:
    """A model with windows of 4 steps, and its data."""

    def make() -> tuple[TransferModel, Episodes]:
        model = run(HOPPER, steps=1).model
        assert isinstance(model, TransferModel)
        return model, HOPPER

    return make


def test_a_caller_s_autocast_changes_nothing() -> None:
    config = TrainConfig(steps=6, batch_size=4, context=4, lr=0.01)

    def train() -> str:
        made = pretrain([HOPPER, WALKER], config=config, trunk_config=SMALL, precision="bfloat16")
        return fingerprint(made.trunk)

    plain = train()
    with torch.autocast("cpu", torch.bfloat16):
        assert train() == plain
