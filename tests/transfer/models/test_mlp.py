"""The control without a trunk: as large as what another mode trains, and trained and saved like the rest."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.hooks import Hooks
from transfer import registry
from transfer.adapters.methods.bc import BC
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.data.measured.measure import measure
from transfer.data.windows import WindowSampler
from transfer.decoding.direct import DirectPlanner
from transfer.envs.catalog import environment
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.models.acting import Step
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.registry import PartSpec
from transfer.storage.fingerprints import fingerprint
from transfer.storage.pairs import checksum
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig

MakeModel = Callable[..., TransferModel]


@pytest.fixture
def mlp(make_model: MakeModel) -> MLPPolicy:
    return MLPPolicy(environment("hopper"), make_model().statistics, hidden=16)


@pytest.mark.parametrize("numbers", [500, 5_000, 50_000])
def test_no_other_width_comes_closer_to_the_wanted_size(numbers: int, mlp: MLPPolicy) -> None:
    def size(hidden: int) -> int:
        return sum(p.numel() for p in MLPPolicy(mlp.env_spec, mlp.statistics, hidden).parameters())

    hidden = MLPPolicy.hidden_for(mlp.env_spec, numbers)
    assert abs(size(hidden) - numbers) <= min(abs(size(hidden + step) - numbers) for step in (-1, 1))


def test_padding_never_changes_the_loss(
    mlp: MLPPolicy, make_model: MakeModel, make_batch: Callable[..., Batch]
) -> None:
    batch = make_batch(make_model())
    error = (mlp.predict(batch.states, batch.column("returns") / mlp.env_spec.reference.span) - batch.actions).square()
    batch.mask[1, 2:] = False
    total, count, _ = mlp.loss(batch)["action"]
    torch.testing.assert_close(total, error[0].sum() + error[1, :2].sum() + error[2].sum())
    assert count == 12 * 3
    nonsense = replace(batch, states=torch.where(batch.mask[..., None], batch.states, torch.tensor(1e6)))
    torch.testing.assert_close(mlp.loss(nonsense)["action"].sum, total)


def test_it_learns(mlp: MLPPolicy, make_episodes: Callable[..., Episodes]) -> None:
    losses: list[float] = []
    config = TrainConfig(steps=200, batch_size=8, context=5, lr=3e-3, log_every=50, save_every=50)
    sampler = WindowSampler(make_episodes(lengths=(9, 8)), 5, 8)
    fit(mlp, sampler, config, ["mlp"], callbacks=[Hooks(log=lambda step, values: losses.append(values["train/loss"]))])
    assert losses[-1] < 0.5 * losses[0]


def test_it_sees_the_return_still_wanted(mlp: MLPPolicy) -> None:
    states = torch.zeros(2, 11)
    actions = mlp.predict(states, torch.tensor([0.0, 1.5]))
    assert (actions[0] - actions[1]).abs().max() > 1e-3


def of_method(kind: str, data: Episodes) -> MLPPolicy:
    spec = PartSpec(kind)
    return MLPPolicy(data.env_spec, measure(data), 8, 0, spec, registry.build("method", spec).fit(data))


@pytest.mark.parametrize(
    ("kind", "ask", "asked", "columns"),
    [
        ("bc", {}, {}, 0),
        ("dt", {"return": 300.0}, {"return": 300.0}, 1),
        ("udrl", {"return": 300.0, "horizon": 20}, {"return": 300.0, "horizon": 20.0}, 2),
    ],
)
def test_it_is_asked_for_what_its_method_is_asked_for_and_nothing_else(
    kind: str,
    ask: dict[str, float],
    asked: dict[str, float],
    columns: int,
    make_episodes: Callable[..., Episodes],
    tmp_path: Path,
) -> None:
    data = make_episodes(lengths=(9, 8))
    policy = of_method(kind, data)
    assert policy.fc_1.in_features == data.state_size + columns and policy.asked(ask) == asked
    with pytest.raises(TransferError, match="horizon|speed"):
        policy.asked({"horizon": 3} if kind == "dt" else {"speed": 3})
    config = TrainConfig(steps=2, batch_size=4, context=5, log_every=2, save_every=2)
    fit(policy, WindowSampler(data, 5, 4, spec=policy.windows), config, ["mlp"])
    loaded = MLPPolicy.load(policy.save(tmp_path))
    assert fingerprint(loaded) == fingerprint(policy) and loaded.asked({}) == policy.asked({})
    assert ("method" in json.loads((tmp_path / "mlp.json").read_text())) == (kind != "dt")  # older files have none
    (tmp_path / "mlp.json").rename(tmp_path / "adapter.json")
    with pytest.raises(TransferError, match="is the JSON of an MLP"):
        Adapter.load(tmp_path)
    states, times = torch.randn(3, data.state_size), torch.zeros(3, dtype=torch.int64)
    step = Step(states, torch.zeros(3, dtype=torch.float64), times)
    command = loaded.command(np.arange(3), loaded.asked(ask))
    actions = DirectPlanner(loaded, 3, "parallel").act(step._replace(columns=command.columns(step)))
    assert actions.shape == (3, data.action_size) and actions.isfinite().all()


def test_a_method_that_asks_a_trunk_cannot_be_asked_of_an_mlp(
    make_episodes: Callable[..., Episodes], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = of_method("bc", make_episodes())
    monkeypatch.setattr(BC, "asked", lambda self, model, ask: {"size": len(model.adapter.parts())})
    with pytest.raises(
        TransferError, match="method 'bc' cannot be asked of a policy without a trunk.*Leave mode 'mlp'"
    ):
        policy.asked({})


def test_a_loaded_policy_scores_as_the_saved_one_to_the_bit(mlp: MLPPolicy, tmp_path: Path) -> None:
    mlp.save(tmp_path / "mlp")
    spec = replace(mlp.env_spec, max_episode_steps=15)
    first, second = (evaluate(policy, spec, 2) for policy in (mlp, MLPPolicy.load(tmp_path / "mlp")))
    np.testing.assert_array_equal(first.actions, second.actions)
    assert first.to_json() == second.to_json()


@pytest.mark.parametrize(("key", "value"), [("hidden", 8), ("hidden", "many"), ("fingerprint", "0"), ("widht", 3)])
def test_an_edited_policy_is_refused(key: str, value: object, mlp: MLPPolicy, tmp_path: Path) -> None:
    path = mlp.save(tmp_path / "mlp") / "mlp.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(TransferError):
        MLPPolicy.load(tmp_path / "mlp")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arguments": None}, "was edited"),
        ({"arguments": 3}, "was edited"),
        ({"arguments": {"lengths": {}}}, "was edited"),
        ({"method": "td"}, "cannot be loaded here: unknown method kind 'td'"),
        ({"method": {}}, "was edited"),
    ],
)
def test_an_edited_method_is_refused(
    change: dict[str, object], said: str, make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    path = of_method("udrl", make_episodes()).save(tmp_path) / "mlp.json"
    content = {**json.loads(path.read_text()), **change}
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps({**content, "checksum": checksum(content)}))
    with pytest.raises(TransferError, match=rf"mlp\.json {said}"):
        MLPPolicy.load(tmp_path)


def test_an_edited_method_without_extras_is_refused(make_episodes: Callable[..., Episodes], tmp_path: Path) -> None:
    path = of_method("bc", make_episodes()).save(tmp_path) / "mlp.json"
    content = {key: value for key, value in json.loads(path.read_text()).items() if key != "arguments"}
    path.write_text(json.dumps({**content, "checksum": checksum(content)}))
    with pytest.raises(TransferError, match=r"mlp\.json was edited: arguments"):
        MLPPolicy.load(tmp_path)


def test_a_truncated_policy_is_refused(mlp: MLPPolicy, tmp_path: Path) -> None:
    path = mlp.save(tmp_path / "mlp") / "mlp.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TransferError, match="truncated or damaged"):
        MLPPolicy.load(tmp_path / "mlp")
