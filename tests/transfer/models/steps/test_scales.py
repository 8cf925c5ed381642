"""Statistics and scales: what is accepted, one store, and that `state_dict` brings all that decides an action."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.kinds import config_of
from tests.toys import toy
from tests.transfer.conftest import SMALL
from transfer.adapters.build import build_adapter
from transfer.data.environment.spec import as_spec
from transfer.data.episodes import Episodes
from transfer.data.measured.calibration_table import Calibration
from transfer.data.measured.dataset_statistics import Statistics
from transfer.data.measured.measure import measure
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.mlp import MLPPolicy
from transfer.models.provenance import Provenance
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.scales import Scales
from transfer.registry import PartSpec
from transfer.storage.fingerprints import fingerprint

GOOD = Statistics(
    state_mean=(0.0, 1.0),
    state_std=(1.0, 2.0),
    action_low=(-1.0, 0.0, -2.0),
    action_high=(1.0, 3.0, 2.0),
    return_span=10.0,
    return_quantiles={"p50": 1.0, "p95": 2.0, "max": 3.0},
)
CALIBRATION = Calibration((1.0, 2.0), (5.0, 4.0), None, 3)


def scales_of(statistics: Statistics) -> Scales:
    return Scales(statistics, as_spec(toy(2, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_mean": (0.0, float("nan"))}, "finite numbers are needed"),
        ({"state_mean": (0.0, 1e39)}, "finite numbers are needed"),
        ({"state_mean": 0.0}, "finite numbers are needed"),
        ({"state_mean": [[0.0, 1.0]]}, "finite numbers are needed"),
        ({"state_mean": ("a", "b")}, "finite numbers are needed"),
        ({"state_mean": (0.0,)}, "have 1 and 2 numbers"),
        ({"state_mean": (), "state_std": ()}, "have 0 and 0 numbers"),
        ({"state_std": (1.0, 0.0)}, "deviations are above 0"),
        ({"state_std": (1.0, 1e-60)}, "deviations are above 0"),
        ({"state_std": (1.0, -2.0)}, "deviations are above 0"),
        ({"action_low": (-1.0, 0.0)}, "have 2 and 3 numbers"),
        ({"action_low": (-1.0, 4.0, -2.0)}, "actions from 4.0 to 3.0"),
        ({"action_high": (1.0, float("inf"), 2.0)}, "finite numbers are needed"),
        ({"return_span": 0.0}, "must be above 0"),
        ({"return_span": "10"}, "return_span is '10'; a finite number is needed"),
        ({"return_every": -1.0}, "must be above 0"),
        ({"return_means": (1.0,)}, "a line needs 2 or more"),
        ({"return_quantiles": {"p95": float("nan")}}, r"return_quantiles\['p95'\]"),
        ({"return_quantiles": [1.0]}, "maps names to returns"),
    ],
)
def test_what_is_no_statistic_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TransferError, match=message):
        replace(GOOD, **change)
    with pytest.raises(TransferError, match=message):
        Statistics.from_json({**asdict(GOOD), **change})


def test_numbers_of_numpy_and_torch_are_taken() -> None:
    taken = replace(GOOD, state_mean=np.array([0.0, 1.0]), state_std=torch.tensor([1.0, 2.0]), return_span=np.int64(10))
    assert taken == GOOD
    with pytest.raises(TransferError):
        replace(GOOD, state_mean=np.array([True, False]))


def test_the_return_to_ask_for_is_the_calibration_s_or_the_data_s() -> None:
    assert GOOD.best_target == 2.0 and replace(GOOD, calibration=CALIBRATION).best_target == 1.0
    with pytest.raises(TransferError, match="give target .a score. or target_return"):
        _ = replace(GOOD, return_quantiles={}).best_target


def test_buffers_are_the_one_store() -> None:
    scales = scales_of(GOOD)
    assert scales.statistics == GOOD
    scales.keep_calibration(CALIBRATION)
    with torch.no_grad():
        scales.state_mean += 1
        scales.action_high *= 2
    expected = replace(GOOD, state_mean=(1.0, 2.0), action_high=(2.0, 6.0, 4.0), calibration=CALIBRATION)
    assert scales.statistics == expected
    for copy in (deepcopy(scales), pickle.loads(pickle.dumps(scales))):
        assert copy.statistics == expected


def test_states_are_at_most_ten_deviations_away() -> None:
    scaled = scales_of(GOOD).scale_states(torch.tensor([[0.5, 1.0], [50.0, -1e30]]))
    torch.testing.assert_close(scaled, torch.tensor([[0.5, 0.0], [10.0, -10.0]]))


def test_actions_beyond_the_bounds_count_as_at_them() -> None:
    actions = torch.tensor([[1.0, 1.5, 0.0], [-7.0, 3.0, 2.0]])
    torch.testing.assert_close(scales_of(GOOD).scale_actions(actions), torch.tensor([[1.0, 0, 0], [-1, 1, 1]]))


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.7), (-1e-3, 1e3), (1000.0, 1064.0), (-3e38, 3e38), (0.3, 0.3)])
def test_scaled_actions_never_leave_the_bounds(low: float, high: float) -> None:
    bounds = {"action_low": (low,) * 3, "action_high": (high,) * 3}
    scales = scales_of(replace(GOOD, **bounds))
    out = scales.action_range().outward(torch.tensor([[-1.0, 0.0, 1.0], [-1.0000001, 0.5, 1.0000001]]))
    assert (out >= scales.action_low).all() and (out <= scales.action_high).all() and out.isfinite().all()
    assert abs(out[0, 0] - low) <= 1e-6 * (high - low) and abs(out[0, 2] - high) <= 1e-6 * (high - low)
    assert scales.scale_actions(out).abs().max() <= 1


def test_returns_of_a_table_are_divided_by_its_span_to_the_bit() -> None:
    span = 3234.3 + 20.272305
    returns, times = torch.rand(4, 100) * 7000 - 2000, torch.arange(100).expand(4, -1)
    assert torch.equal(scales_of(replace(GOOD, return_span=span)).scale_returns(returns, times), returns / span)


def test_the_mean_return_to_go_is_subtracted_at_every_step_linear_between_those_kept() -> None:
    scales = scales_of(replace(GOOD, return_means=(100.0, 50.0, 40.0), return_every=2.0))
    times = torch.tensor([[0, 1, 2, 3, 4, 5, 900]])
    wanted = 7 - torch.tensor([[100.0, 75.0, 50.0, 45.0, 40.0, 40.0, 40.0]])
    torch.testing.assert_close(scales.scale_returns(torch.full((1, 7), 7.0), times), wanted / 10)
    torch.testing.assert_close(scales.scale_returns(torch.full((7,), 7.0), times[0]), wanted[0] / 10)


@pytest.mark.parametrize("every", [0.5, 1.0, 2.0, 2.5, 7.3])
def test_what_is_fixed_for_acting_says_the_same_at_every_step(every: float) -> None:
    scales, fixed = (scales_of(replace(GOOD, return_means=(100.0, 50.0, 41.7), return_every=every)) for _ in range(2))
    fixed.fix()
    times, returns = torch.arange(40), torch.linspace(-5, 120, 40)
    assert torch.equal(fixed.scale_returns(returns, times), scales.scale_returns(returns, times))
    plain = scales_of(GOOD)
    plain.fix()
    assert torch.equal(plain.scale_returns(returns, times), scales_of(GOOD).scale_returns(returns, times))


def test_means_of_steps_without_end_are_refused() -> None:
    with pytest.raises(TransferError, match="beyond 100,000 steps"):
        replace(GOOD, return_means=(1.0, 2.0), return_every=1e30)


KINDS = [
    {"action": "ActionEmbedding"},
    {"action": "ActionTokenizedEmbedding"},
    {"action": "ActionSpreadEmbedding", "readout": "categorical"},
    {"action": "ActionTokenizedSpreadEmbedding"},
    {"action": "ActionTokenizedSpreadEmbedding", "readout": "categorical", "tokenizer": "uniform"},
]


def two_models(make_trunk: Callable[..., Any], build: Callable[[Episodes], Adapter]) -> list[TransferModel]:
    """The same weights, fitted on data of other sizes, returns and ranges of actions."""
    models = []
    for seed, size in ((0, 1.0), (1, 0.5)):
        rng = np.random.default_rng(seed)
        arrays = rng.normal(size, 1 + seed, (40, 11)), size * rng.uniform(-1, 1, (40, 3)), rng.uniform(0, 3, 40)
        models.append(
            TransferModel(make_trunk(lively=False), build(Episodes.from_arrays(*arrays, [20, 20], "Hopper-v5"))).eval()
        )
    return models


@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_a_state_dict_brings_everything_that_decides_actions(kinds: dict[str, str], make_trunk: Any) -> None:
    config = config_of(**{"bins": 8, **kinds})  # type: ignore[arg-type]
    one, other = two_models(make_trunk, lambda data: build_adapter(data, make_trunk().config, config))
    other.keep_calibration(CALIBRATION)
    assert fingerprint(one) != fingerprint(other)
    assert not np.array_equal(acted(one), acted(other))
    one.load_state_dict(other.state_dict())
    assert fingerprint(one) == fingerprint(other)
    assert one.statistics == other.statistics and one.statistics.best_target == 1.0
    assert one.adapter.arguments() == other.adapter.arguments()  # with the tables of the tokenizers
    np.testing.assert_array_equal(acted(one), acted(other))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_the_process_s_default_dtype_changes_no_adapter(dtype: torch.dtype, kinds: Any, make_trunk: Any) -> None:
    def made() -> list[TransferModel]:
        config = config_of(**{"bins": 8, **kinds})
        return two_models(make_trunk, lambda data: build_adapter(data, SMALL, config, 0, own=("return",), tuning=True))

    expected = [(fingerprint(model), acted(model)) for model in made()]
    torch.set_default_dtype(dtype)
    try:
        for model, (print_, actions) in zip(made(), expected, strict=True):
            assert fingerprint(model) == print_
            np.testing.assert_array_equal(acted(model), actions)
    finally:
        torch.set_default_dtype(torch.float32)


def acted(model: TransferModel | MLPPolicy) -> Any:
    policy = model.policy()
    states = np.random.default_rng(2).normal(size=(4, 11)).astype(np.float32)
    return [policy.act(state, 1.0 if step else None) for step, state in enumerate(states)]


def test_so_does_that_of_an_mlp(make_episodes: Callable[..., Episodes]) -> None:
    data = [make_episodes(seed=seed) for seed in (0, 1)]
    one, other = (MLPPolicy(each.env_spec, measure(each), 8, seed) for seed, each in enumerate(data))
    other.keep_calibration(CALIBRATION)
    one.load_state_dict(other.state_dict())
    assert one.statistics == other.statistics and fingerprint(one) == fingerprint(other)
    np.testing.assert_array_equal(acted(one), acted(other))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{}", "the extra state of scales is of type str"),
        (torch.tensor(10**12), r"is a tensor of torch.int64 \(\)"),
        (torch.tensor([123.0, 125.0]), "is a tensor of torch.float32"),
        (torch.tensor([123], dtype=torch.uint8), "the extra state of scales is not valid JSON"),
        (torch.tensor(list(b'{"mean": 1}'), dtype=torch.uint8), "unknown key in the statistics 'mean'"),
    ],
)
def test_a_state_dict_with_another_extra_state_is_refused(
    state: Any, message: str, make_adapter: Callable[..., Adapter]
) -> None:
    adapter = make_adapter()
    before = adapter.statistics
    with pytest.raises(TransferError, match=message):
        adapter.load_state_dict(adapter.state_dict() | {"scales._extra_state": state})
    assert adapter.statistics == before


def test_the_tables_of_another_number_of_bins_are_refused_by_name(make_adapter: Callable[..., Adapter]) -> None:
    with pytest.raises(RuntimeError, match=r"action\.bins\.edges"):
        make_adapter(bins=8).load_state_dict(make_adapter(bins=9).state_dict())


def test_what_is_no_calibration_is_not_kept(make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter()
    for scales in (adapter.scales, MLPPolicy(adapter.env_spec, adapter.statistics, 4)):
        before = fingerprint(scales)
        with pytest.raises(TransferError, match="calibration is of type str; Calibration is needed"):
            scales.keep_calibration("best")  # type: ignore[arg-type]
        assert fingerprint(scales) == before


@pytest.mark.parametrize("name", ["statistics", "action.tokenizer"])
def test_what_reads_the_buffers_is_not_set(name: str, make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter()
    part, name = (adapter.action, "tokenizer") if name == "action.tokenizer" else (adapter, name)
    with pytest.raises(AttributeError):
        setattr(part, name, getattr(part, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistics": GOOD}, "statistics of 2 state numbers and 3 action numbers for 'hopper', which has 11 and 3"),
        ({"provenance": Provenance()}, "provenance.context is None"),
        ({"config": config_of(bins=9)}, "action part.*bins=8.*the config says 9"),
        (
            {"config": config_of(bins=8, tokenizer="uniform")},
            "action part.*tokenizer='quantile'.*the config says 'uniform'",
        ),
        (
            {"config": config_of(bins=8, ranges="shared")},
            r"action part.*ranges='shared\+index'.*the config says 'shared'",
        ),
        (
            {"config": config_of(bins=8, readout="categorical")},
            "action part.*readout='regression', the config says 'categorical'",
        ),
        ({"config": config_of("ActionEmbedding")}, "action part cannot be made of"),
        ({"width": 32}, "state part.*width=16.*the adapter's is 32"),
        ({"state": {"state_size": 10}}, "state part.*state_size=10.*the adapter's is 11"),
        ({"action": {"action_size": 4}}, "action part.*action_size=4.*the adapter's is 3"),
        ({"state": None}, "lacks its state part"),
        ({"goal": {}}, "unknown part in the arguments of an adapter of the method 'dt' 'goal'"),
        ({"method": PartSpec("ddt")}, "unknown method kind 'ddt'. Did you mean 'dt'"),
        ({"tokenizer": "wide"}, "fitted on actions beyond -1 and 1"),
        ({"tokenizer": "nan"}, "finite numbers are needed"),
        ({"tokenizer": "unsorted"}, "edges do not ascend"),
        ({"tokenizer": "outside"}, "centers lie outside their bins"),
        ({"tokenizer": "two dimensions"}, "a tokenizer for 2 action numbers, the environment takes 3"),
        ({"tokenizer": "not fitted"}, "ActionTokenizedSpreadEmbedding with the readout 'regression' needs a fitted"),
        ({"tokenizer": "a name"}, "a stored tokenizer has the keys"),
    ],
)
def test_parts_that_contradict_each_other_make_no_adapter(
    change: dict[str, Any], message: str, make_adapter: Callable[..., Adapter]
) -> None:
    good = make_adapter()
    arguments = good.arguments()
    stored = arguments["action"]["tokenizer"]
    match change.pop("tokenizer", ""):
        case "wide":
            wide = type(good.action.tokenizer)(8).fit(np.random.default_rng(0).normal(0, 3, (99, 3)))
            arguments["action"]["tokenizer"] = wide.to_json()
        case "nan":
            stored["edges"][1][2] = np.nan
        case "unsorted":
            stored["edges"][0].reverse()
        case "outside":
            stored["centers"][2][0] = 0.9
        case "two dimensions":
            arguments["action"]["tokenizer"] = {
                key: stored[key][:2] if key in ("edges", "centers") else stored[key] for key in stored
            }
        case "not fitted":
            arguments["action"]["tokenizer"] = None
        case "a name":
            arguments["action"]["tokenizer"] = "quantile"
    for part in ("state", "action", "goal"):
        if part in change:
            changed = change.pop(part)
            arguments[part] = {**arguments.get(part, {}), **changed} if changed is not None else None
    arguments = {part: given for part, given in arguments.items() if given is not None}
    parts = {"config": good.config, "env_spec": good.env_spec, "statistics": good.statistics, "width": 16, "depth": 2}
    with pytest.raises(TransferError, match=message):
        Adapter(**{**parts, "arguments": arguments, **change})


@pytest.mark.parametrize(("context", "message"), [(0, "too small"), (2.5, "a whole number"), (10**9, "too large")])
def test_the_context_is_a_number_of_steps(context: Any, message: str, make_adapter: Callable[..., Adapter]) -> None:
    with pytest.raises(TransferError, match=f"context={context}.*{message}"):
        make_adapter(context=context)


def test_an_adapter_says_in_one_line_what_it_is(make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter(ia3=True, conditioning=True)
    numbers = sum(p.numel() for p in adapter.parameters())
    assert repr(adapter) == (
        "Adapter(hopper: 11 states, 3 actions; state mlp(hidden=256), action ActionTokenizedSpreadEmbedding("
        "tokenizer=quantile, bins=8, ranges=shared+index, readout=regression), return, tuning ia3; context 20; "
        f"{numbers:,} parameters)"
    )
    assert "bins" not in repr(make_adapter(action="ActionEmbedding"))
