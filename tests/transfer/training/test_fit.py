"""The training loop: rate, optimizer, reports, noise, and a loss that stops being a number."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.forcing import part_of
from tests.hooks import Hooks
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.data.measured.calibration_table import Calibration
from transfer.data.windows import WindowSampler
from transfer.errors import TransferError
from transfer.models.freezing import train_only
from transfer.models.mlp import MLPPolicy
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.group import Loss
from transfer.training.fit import fit
from transfer.training.train_config import TrainConfig
from transfer.training.updates import make_optimizer, noisy

MakeModel = Callable[..., TransferModel]
MakeEpisodes = Callable[..., Episodes]
QUICK = TrainConfig(steps=6, batch_size=4, context=5, log_every=2, save_every=2)


@pytest.fixture
def make_model(make_model: Callable[..., TransferModel]) -> Callable[..., TransferModel]:
    """Models that act on windows as these tests train on, of 5 steps."""
    return partial(make_model, context=5)


def sampler_of(make_episodes: MakeEpisodes, seed: int = 0) -> WindowSampler:
    return WindowSampler(make_episodes(), QUICK.context, QUICK.batch_size, seed)


def train(model: TransferModel, sampler: WindowSampler, config: TrainConfig = QUICK, **options: Any) -> Any:
    return fit(model, sampler, config, ["trunk", "state", "action"], precision=torch.float32, **options)


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine() -> None:
    config = TrainConfig(steps=1000, lr=0.5, warmup=0.1, final_lr=0.2)
    rates = [config.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.5 / 100) and rates[49] == pytest.approx(0.25)
    assert max(rates) == rates[99] == rates[100] == 0.5
    assert rates[550] == pytest.approx(0.5 * (0.2 + 0.8 / 2))
    assert rates[775] == pytest.approx(0.5 * (0.2 + 0.8 * (1 + math.cos(0.75 * math.pi)) / 2))
    assert rates[-1] == pytest.approx(0.1, rel=1e-4)
    assert all(a > b for a, b in zip(rates[100:], rates[101:], strict=False))


def test_a_calibration_is_forgotten_when_the_weights_change(
    make_model: Callable[..., TransferModel], make_episodes: Callable[..., Episodes]
) -> None:
    model = make_model()
    default = model.asked({})
    model.keep_calibration(Calibration((1.0, 2.0), (5.0, 4.0), None, 3))
    assert model.asked({}) == {"return": 1.0} != default
    fit(model, WindowSampler(make_episodes(), 5, 4), QUICK, ["state"])
    assert model.statistics.calibration is None and model.asked({}) == default


def test_a_warmup_longer_than_the_training_is_refused() -> None:
    assert TrainConfig(steps=10, warmup_steps=10).rate(9) == 1e-3
    with pytest.raises(TransferError, match="warmup_steps=50 is more than steps=10"):
        TrainConfig(steps=10, warmup_steps=50)


def test_without_warmup_and_decay_the_rate_is_constant() -> None:
    config = TrainConfig(steps=10, lr=0.5, warmup=0.0, final_lr=1.0)
    assert [config.rate(step) for step in range(10)] == [0.5] * 10


def test_every_update_uses_its_rate_and_reports_it(
    make_model: MakeModel, make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[set[float]] = []
    step = torch.optim.AdamW.step

    def note(optimizer: torch.optim.AdamW) -> None:
        used.append({group["lr"] for group in optimizer.param_groups})
        step(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    config, reported = replace(QUICK, log_every=1), []
    train(
        make_model(),
        sampler_of(make_episodes),
        config,
        callbacks=[Hooks(log=lambda _, values: reported.append(values["train/lr"]))],
    )
    assert reported == [config.rate(step) for step in range(6)]
    assert used == [{rate} for rate in reported]


@pytest.mark.parametrize(
    ("parts", "adapter_lr", "tags"),
    [
        (["state", "action"], 0.002, {"train/lr": 2.0}),
        (["state", "action"], 0.0, {"train/lr": 1.0}),
        (["trunk", "state"], 0.002, {"train/lr": 1.0, "train/adapter_lr": 2.0}),
        (["trunk", "state"], 0.001, {"train/lr": 1.0}),
        (["trunk"], 0.002, {"train/lr": 1.0}),
    ],
)
def test_every_rate_that_trains_is_reported(
    parts: list[str], adapter_lr: float, tags: dict[str, float], make_model: MakeModel, make_episodes: MakeEpisodes
) -> None:
    config = replace(QUICK, log_every=1, lr=0.001, adapter_lr=adapter_lr)
    logs: list[dict[str, float]] = []
    hooks = [Hooks(log=lambda _, values: logs.append(dict(values)))]
    fit(make_model(), sampler_of(make_episodes), config, parts, callbacks=hooks)
    for step, values in enumerate(logs):
        wanted = {tag: share * config.rate(step) for tag, share in tags.items()}
        assert {tag: value for tag, value in values.items() if tag.endswith("lr")} == pytest.approx(wanted)


def test_only_tensors_of_two_dimensions_are_decayed(make_model: MakeModel) -> None:
    model = make_model(ia3=True)
    train_only(model, ["trunk", "state", "action", "tuning"])
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.3))
    decay = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert set(decay) == set(model.parameters())
    for name, p in model.named_parameters():
        assert decay[p] == (0.3 if p.dim() >= 2 else 0.0), name
    assert {decay[p] for p in model.adapter.tuning.parameters()} == {0.0}


def test_frozen_parts_are_not_in_the_optimizer(make_model: MakeModel) -> None:
    model = make_model(ia3=True)
    train_only(model, ["tuning"])
    groups = make_optimizer(model, TrainConfig()).param_groups
    assert {p for group in groups for p in group["params"]} == set(model.adapter.tuning.parameters())


def test_training_learns_what_the_data_say(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    model, losses = make_model(lively=False), {}
    config = TrainConfig(steps=150, batch_size=8, context=5, lr=3e-3, log_every=25, save_every=25)
    sampler = WindowSampler(make_episodes(lengths=(9, 8)), 5, 8)
    result = train(
        model, sampler, config, callbacks=[Hooks(log=lambda step, values: losses.update({step: values["train/loss"]}))]
    )
    assert list(losses) == [25, 50, 75, 100, 125, 150]
    assert losses[150] < 0.5 * losses[25] and result.final_loss == losses[150]


def test_windows_of_another_length_than_the_context_are_asked_for(
    make_model: MakeModel, make_episodes: MakeEpisodes
) -> None:
    with pytest.raises(TransferError, match=r"have 5 steps, the model acts on 4: .*context=5.*any_context=True"):
        train(make_model(context=4), sampler_of(make_episodes))
    with pytest.raises(TransferError, match="any_context='no' is text"):
        train(make_model(), sampler_of(make_episodes), any_context="no")
    with pytest.raises(TransferError, match="have 5 steps, the model acts on 1: "):  # an adapter of one step too
        train(make_model(context=1), sampler_of(make_episodes))
    assert train(make_model(context=4), sampler_of(make_episodes), any_context=True).final_loss > 0


def test_an_mlp_trains_on_windows_of_any_length(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    data = make_model()
    model = MLPPolicy(data.env_spec, data.statistics, hidden=8)
    assert model.context == 1
    assert fit(model, sampler_of(make_episodes), QUICK, ["mlp"]).final_loss > 0


def test_callbacks_tell_what_trains_and_every_step(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    calls: list[Any] = []
    result = train(
        make_model(),
        sampler_of(make_episodes),
        callbacks=[Hooks(lambda selection, done: calls.append(("start", selection, done)), step=calls.append)],
    )
    assert calls == [("start", result.selection, 0), 1, 2, 3, 4, 5, 6]
    assert set(result.selection.parts) == {"trunk", "state", "action"}


def test_the_reported_loss_is_the_mean_over_real_numbers(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    model, sampler, logs = make_model(), sampler_of(make_episodes), []
    still = replace(QUICK, lr=1e-30, steps=3, log_every=3, save_every=3)
    fit(model, sampler, still, ["state"], precision=torch.float32, callbacks=[Hooks(log=lambda *log: logs.append(log))])
    with torch.no_grad():
        terms = [model.loss(sampler.batch(step))["action"] for step in range(3)]
    mean = float(sum(term.sum for term in terms) / sum(term.count for term in terms))
    assert logs[0][1]["train/loss"] == logs[0][1]["train/loss/action"] == pytest.approx(mean)


def test_terms_of_a_loss_are_weighed_and_reported_each(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    """The objective is the sum of weight * mean over its terms, which count other numbers of tokens."""

    def both(model: TransferModel, others: float, parts: Callable[..., Any]) -> TransferModel:
        loss = model.loss

        def terms(*given: Any) -> dict[str, Loss]:
            term = loss(*given)["action"]
            return parts(term, Loss(term.sum * 3, term.count * 2, others))

        model.loss = terms  # type: ignore[method-assign]
        return model

    sampler, logs = sampler_of(make_episodes), []
    one = both(make_model(), 0.5, lambda term, other: {"action": term, "other": other})
    train(one, sampler, callbacks=[Hooks(log=lambda *log: logs.append(log[1]))])
    for values in logs:
        assert values["train/loss/other"] == pytest.approx(1.5 * values["train/loss/action"])
        assert values["train/loss"] == pytest.approx(1.75 * values["train/loss/action"])
    single = both(make_model(), 0.0, lambda term, other: {"action": Loss(term.sum * 1.75, term.count)})
    train(single, sampler)
    for mine, theirs in zip(one.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_dropout_noise_is_a_function_of_seed_and_step(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    def outcome(seed: int, disturb: bool) -> list[torch.Tensor]:
        model = make_model()
        torch.manual_seed(int(disturb))
        train(
            model, sampler_of(make_episodes, seed), callbacks=[Hooks(step=lambda _: torch.rand(3) if disturb else None)]
        )
        return list(model.parameters())

    first = outcome(0, disturb=False)
    assert all(torch.equal(a, b) for a, b in zip(first, outcome(0, disturb=True), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, outcome(1, disturb=False), strict=True))


def test_dropout_differs_from_step_to_step(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    model, losses = make_model(), []
    sampler = sampler_of(make_episodes)
    sampler.starts = lambda step: torch.arange(4)  # the same windows in every step
    still = replace(QUICK, lr=1e-30, log_every=1)
    train(model, sampler, still, callbacks=[Hooks(log=lambda step, values: losses.append(values["train/loss"]))])
    assert len(set(losses)) == 6


def test_large_gradients_are_clipped(make_model: MakeModel, make_episodes: MakeEpisodes) -> None:
    moved = []
    for clip in (1e-12, 1e9):
        model = make_model(lively=False)
        before = model.adapter.state.proj.weight.clone()
        train(model, sampler_of(make_episodes), replace(QUICK, steps=1, clip=clip, weight_decay=0.0, warmup=0.0))
        moved.append((model.adapter.state.proj.weight - before).abs().max())
    # Adam divides by the gradient's size plus 1e-8, so only a much smaller gradient moves less
    assert moved[0] < 0.01 * moved[1]


class Spoiled(WindowSampler):
    """Windows whose states are not numbers from the fourth batch on."""

    def batch(self, step: int, block: int = 0, blocks: int = 1) -> Batch:
        batch = super().batch(step, block, blocks)
        return replace(batch, states=batch.states * math.nan) if step >= 3 else batch


def test_a_loss_that_is_not_finite_stops_training(
    make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Any
) -> None:
    model, reached = make_model(), []
    with pytest.raises(
        TransferError, match=r"the loss is nan at step 4. The state of step 2 stays .* train anew with a lower"
    ):
        train(
            model, Spoiled(make_episodes(), 5, 4), checkpoint=tmp_path / "state", callbacks=[Hooks(step=reached.append)]
        )
    assert reached == [1, 2, 3]
    # the state on disk is from before
    healthy = make_model()
    starts: list[int] = []
    train(
        healthy,
        sampler_of(make_episodes),
        checkpoint=tmp_path / "state",
        callbacks=[Hooks(lambda _, done: starts.append(done))],
    )
    assert starts == [2]
    assert all(p.isfinite().all() for p in healthy.parameters())


@pytest.mark.parametrize("steps", [1, 4])
def test_weights_that_are_not_finite_are_never_saved_nor_returned(
    steps: int, make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Any
) -> None:
    """The loss of the only step is finite; what that step makes of the weights is not."""
    config = TrainConfig(steps=steps, batch_size=4, context=5, lr=1e300, weight_decay=0, log_every=1, save_every=1)
    with pytest.raises(
        TransferError, match=r"weights\.\S+ holds NaN or infinity at step 1\. .*train anew with a lower"
    ):
        train(make_model(), sampler_of(make_episodes), config, checkpoint=tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_the_last_finite_state_stays_and_a_resumed_training_says_the_same(
    make_model: MakeModel, make_episodes: MakeEpisodes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moments overflow in the fourth step, while weights and losses are finite."""
    step = torch.optim.AdamW.step

    def spoil(optimizer: torch.optim.AdamW) -> None:
        step(optimizer)
        state = optimizer.state[optimizer.param_groups[0]["params"][0]]
        if state["step"] == 4:
            state["exp_avg_sq"].fill_(math.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", spoil)
    starts: list[int] = []
    for _ in range(2):
        with pytest.raises(TransferError, match=r"exp_avg_sq\.\S+ holds .* at step 4. The state of step 2 stays in"):
            train(
                make_model(),
                sampler_of(make_episodes),
                checkpoint=tmp_path / "state",
                callbacks=[Hooks(lambda _, done: starts.append(done))],
            )
    assert starts == [0, 2]


def test_the_clock_stands_still_in_callbacks(
    make_model: MakeModel, make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, logged = [0.0], []
    monkeypatch.setattr("transfer.training.updates.time.perf_counter", lambda: now[0])

    def on_log(step: int, values: dict[str, float]) -> None:
        now[0] += 100
        logged.append(values["train/tokens_per_second"])

    def on_step(step: int) -> None:
        now[0] += 1000

    model, sampler = make_model(), sampler_of(make_episodes)
    batch = sampler.batch
    sampler.batch = lambda *args: [batch(*args), now.__setitem__(0, now[0] + 2)][0]  # two seconds a step
    result = train(model, sampler, callbacks=[Hooks(log=on_log, step=on_step)])
    tokens = QUICK.batch_size * QUICK.context * model.layout.tokens
    assert result.seconds == 2 * QUICK.steps
    assert result.tokens_per_second == tokens / 2 and logged == [tokens / 2] * 3


def states_seen(model: TransferModel, sampler: WindowSampler, config: TrainConfig) -> list[torch.Tensor]:
    """What the loss was given in each step, less what the sampler gives: (B, T, S) each."""
    seen: list[torch.Tensor] = []
    loss = model.loss
    model.loss = lambda batch, precision: [seen.append(batch.states), loss(batch, precision)][1]  # type: ignore[method-assign]
    train(model, sampler, config)
    return [states - sampler.batch(step).states for step, states in enumerate(seen)]


def test_noise_on_states_has_the_deviation_of_the_data_and_is_new_in_every_step(
    make_model: MakeModel, make_episodes: MakeEpisodes
) -> None:
    model, sampler = make_model(), WindowSampler(make_episodes(lengths=(60,) * 9), QUICK.context, 512)
    first, second = states_seen(model, sampler, replace(QUICK, steps=2, state_noise=0.3))
    wanted = 0.3 * torch.tensor(model.statistics.state_std)
    torch.testing.assert_close(first.flatten(0, 1).std(0), wanted, rtol=0.1, atol=0)
    assert (first.flatten(0, 1).mean(0).abs() < 0.1 * wanted).all()
    assert not torch.equal(first, second)
    again = states_seen(make_model(), sampler, replace(QUICK, steps=2, state_noise=0.3))
    assert torch.equal(again[0], first) and torch.equal(again[1], second)
    assert not any(step.any() for step in states_seen(make_model(), sampler, replace(QUICK, steps=2)))


def test_processes_share_the_noise_of_one(
    make_model: MakeModel, make_episodes: MakeEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = make_model(), sampler_of(make_episodes).batch(0)
    torch.manual_seed(1)
    whole, parts = noisy(batch, model, 0.5).states, []
    for number in range(2):
        torch.manual_seed(1)
        monkeypatch.setattr("transfer.training.updates.rank", lambda number=number: number)
        monkeypatch.setattr("transfer.training.updates.size", lambda: 2)
        rows = slice(2 * number, 2 * number + 2)
        parts.append(noisy(part_of(batch, rows), model, 0.5).states)
    assert torch.equal(torch.cat(parts), whole)


NO_SIZE = (0, -1, 2.5, True, "5", math.nan, math.inf, None, [5], 10**15)
NO_RATE = (-1.0, True, "1e-3", math.nan, math.inf, None, np.array([0.1]))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *((name, value) for name in ("steps", "batch_size", "context", "log_every", "save_every") for value in NO_SIZE),
        *((name, value) for name in ("lr", "clip", "weight_decay", "state_noise") for value in NO_RATE),
        *(("lr", 0), ("clip", 0), ("warmup", 1.5), ("final_lr", -0.1), ("warmup", math.nan)),
    ],
    ids=repr,
)
def test_settings_out_of_range_or_of_another_type_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(TransferError, match=f"^{setting}="):
        TrainConfig(**{setting: value})


def test_numbers_of_numpy_are_stored_as_python_s() -> None:
    numbers = {"steps": np.int64(5), "lr": np.float32(0.5), "log_every": np.uint8(5), "save_every": torch.tensor(5)}
    config = TrainConfig(**numbers, clip=np.array(2), batch_size=8.0)  # type: ignore[arg-type]
    assert config == TrainConfig(steps=5, lr=0.5, log_every=5, save_every=5, clip=2.0, batch_size=8)
    assert json.loads(json.dumps(asdict(config))) == asdict(config)


def test_a_decay_that_turns_weights_around_is_refused_without_advice_on_the_rate() -> None:
    with pytest.raises(TransferError, match=r"weight_decay=1e\+300 times lr=0.001 .* Set weight_decay to 0.0001"):
        TrainConfig(weight_decay=1e300)


def test_checkpoints_between_reports_are_refused() -> None:
    with pytest.raises(TransferError, match="save_every=30 must be a multiple of log_every=20"):
        TrainConfig(log_every=20, save_every=30)
