"""A run on several sources: an adapter and results for each, read by every command; its data; held-out episodes."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from transfer import registry
from transfer.data.episodes import Episodes
from transfer.envs.loading import load_episodes
from transfer.models.adapter import Adapter
from transfer.models.trunk import Trunk
from transfer.recipes.cells.play import Player
from transfer.recipes.runs.used import read_used
from transfer.recipes.watching.boards import read_scalars
from transfer.storage.fingerprints import fingerprint

Transfer = Callable[..., Result]
Refused = Callable[..., None]
TWO = """extends = "base"
[[source]]
data = ["hopper/medium-expert"]
weight = 0.5
[[source]]
data = ["walker2d/medium-expert"]
name = "walk"
[target]
data = ["walker2d/medium-expert"]
[eval]
ask = [{ return = "p95" }]
"""
# Of the run that every test reads.
OPTIONS = [
    *("--modes", "embeddings,tuning", "--set=adapt.inherit_from=walk", "--set=run.held_out=true"),
    "--set=adapt.adapter_lr=0.003",
]

pytestmark = pytest.mark.usefixtures("workplace")


def best(episodes: Episodes, *, count: int = 2) -> Episodes:
    return episodes.pick(episodes.returns.argsort()[-count:])


@pytest.fixture(scope="module", autouse=True)
def filters() -> None:
    registry.register("filter", "test-best", best)


@pytest.fixture(scope="module")
def two(workplace: Path) -> Path:
    (workplace / "two.toml").write_text(TWO, encoding="utf-8")
    return workplace / "two.toml"


@pytest.fixture(scope="module")
def made(two: Path, tiny: list[str], transfer: Transfer, workplace: Path) -> Path:
    """A finished run of modes that take something over and of one that does not."""
    result = transfer("run", two, *tiny, *OPTIONS)
    assert result.exit_code == 0, result.output
    return workplace / "runs" / "two"


def content(home: Path) -> dict:
    found: dict = json.loads((home / "results.json").read_text(encoding="utf-8"))
    return found


def test_each_source_has_an_adapter_and_results_on_the_one_trunk(made: Path) -> None:
    assert sorted(path.name for path in (made / "trunk/0").iterdir() if ".tfevents" not in path.name) == [
        "adapters",
        "cell.json",
        "trunk",
    ]
    trunk = Trunk.load(made / "trunk/0/trunk")
    for name, body in (("hopper", "hopper"), ("walk", "walker2d")):
        home = made / "trunk/0/adapters" / name
        assert Adapter.load(home, trunk).env_spec.name == body
        found = content(home)
        assert (found["mode"], found["environment"]) == (f"pretrain:{name}", body)
        assert set(found["trained"]["parts"]) >= {"trunk", "hopper.action", "walk.state"}
        assert found["evaluations"][0]["target"] == "p95" and found["calibration"] is not None
    assert set(read_used(made / "config.toml")) == {"source.1", "source.2", "target"}


def test_a_mode_that_takes_over_takes_from_the_source_that_was_named(made: Path) -> None:
    walk, mine = (Adapter.load(made / place) for place in ("trunk/0/adapters/walk", "tuning/0/adapter"))
    assert content(made / "tuning/0")["inherited"]
    for name, value in walk.state_dict().items():
        if name.startswith(("parts.state.", "state.")):
            assert value.equal(mine.state_dict()[name]), name


def test_the_log_has_a_loss_and_a_held_out_error_for_each_source(made: Path) -> None:
    for name, body in (("hopper", "hopper"), ("walk", "walker2d")):
        assert [step for step, _ in read_scalars(made / "trunk/0", f"train/loss/{name}/action")] == [2, 4, 6, 8, 10]
        errors = read_scalars(made / "trunk/0", f"valid/loss/{name}")
        assert [step for step, _ in errors] == [4, 8, 10]
        assert errors[-1][1] == pytest.approx(content(made / "trunk/0/adapters" / name)["held_out_error"], rel=1e-5)
        assert read_scalars(made / "trunk/0/adapters" / name, f"eval/{body}/score")
    assert [step for step, _ in read_scalars(made / "embeddings/0", "valid/loss")] == [4, 8]


def test_the_log_has_the_loss_of_each_source_and_of_all(made: Path) -> None:
    def values(tag: str) -> list[float]:
        return [value for _, value in read_scalars(made / "trunk/0", tag)]

    hopper, walk = (values(f"train/loss/{name}") for name in ("hopper", "walk"))
    assert hopper == values("train/loss/hopper/action") and len(hopper) == 5
    assert values("train/loss") == pytest.approx([0.5 * one + other for one, other in zip(hopper, walk, strict=True)])
    errors = zip(values("valid/loss/hopper"), values("valid/loss/walk"), strict=True)
    assert values("valid/loss") == pytest.approx([(0.5 * one + other) / 1.5 for one, other in errors])
    assert not read_scalars(made / "trunk/0/adapters/walk", "train/loss")


def test_results_say_what_was_taken_over_from_whom_and_which_tuning_ran(
    made: Path, transfer: Transfer, tmp_path: Path
) -> None:
    found, walk = content(made / "tuning/0"), Adapter.load(made / "trunk/0/adapters/walk")
    assert found["source"] == {"name": "walk", "fingerprint": fingerprint(walk)}
    assert found["adapter"]["tuning"] == {"kind": "ia3"} and found["method"] == {"kind": "dt"}
    assert (
        content(made / "embeddings/0")["source"] is None and content(made / "embeddings/0")["adapter"]["tuning"] == {}
    )
    shown = transfer("show", made).stdout.splitlines()
    (line,) = [one for one in shown if one.startswith("tuning/0")]
    assert "tuning ia3, takes over from walk" in line
    assert not [one for one in shown if one.startswith("embeddings/0") and "takes over" in one]
    report = transfer("report", made, "--out", tmp_path / "kept").stdout
    assert "| takes over from |" in report and transfer("report", tmp_path / "kept").stdout.count("| walk |") == 1
    cells = json.loads(transfer("show", tmp_path / "kept", "--json").stdout)["cells"]
    assert cells["two/tuning/0"]["source"] == found["source"] and cells["two/tuning/0"]["tuning"] == "ia3"


def test_a_rate_of_the_adapters_own_is_logged_and_kept(made: Path, transfer: Transfer, tmp_path: Path) -> None:
    assert max(rate for _, rate in read_scalars(made / "embeddings/0", "train/lr")) > 0.001
    assert not read_scalars(made / "embeddings/0", "train/adapter_lr")
    assert (content(made / "embeddings/0")["lr"], content(made / "embeddings/0")["adapter_lr"]) == (0.001, 0.003)
    assert content(made / "trunk/0/adapters/walk")["adapter_lr"] is None
    assert transfer("report", made, "--out", tmp_path / "kept").exit_code == 0
    with (tmp_path / "kept/cells.csv").open(newline="") as file:
        told = {line["mode"]: line["adapter_lr"] for line in csv.DictReader(file)}
    assert (told["embeddings"], told["pretrain:walk"]) == ("0.003", "")


def test_commands_read_every_source(made: Path, transfer: Transfer, tmp_path: Path) -> None:
    shown = transfer("show", made)
    assert shown.exit_code == 0 and "trunk/0/adapters/walk" in shown.stdout and "not finished" not in shown.stdout
    part = transfer("show", made / "trunk/0")
    assert part.exit_code == 0 and part.stdout.count("environment ") == 2
    assert set(json.loads(transfer("show", made / "trunk/0", "--json").stdout)["sources"]) == {"hopper", "walk"}
    played = json.loads(transfer("eval", made / "trunk/0", "--episodes", 1, "--json").stdout)["evaluations"]
    assert [Path(one["path"]).name for one in played] == ["hopper", "walk"]
    everything = json.loads(transfer("eval", made, "--episodes", 1, "--json").stdout)["evaluations"]
    assert len(everything) == 4
    one = transfer("eval", made / "trunk/0/adapters/walk", "--episodes", 1)
    assert one.exit_code == 0, one.output
    assert "adapters/walk" in transfer("ls", "--runs-dir", made.parent).stdout


def test_reports_and_results_folders_hold_every_source(made: Path, transfer: Transfer, tmp_path: Path) -> None:
    report = transfer("report", made)
    assert report.exit_code == 0 and "| held-out error |" in report.stdout and "Held-out error: " in report.stdout
    for mode in ("pretrain:hopper", "pretrain:walk", "embeddings", "tuning"):
        assert f"| {mode} |" in report.stdout
    out = transfer("report", made, "--out", tmp_path / "kept")
    assert out.exit_code == 0, out.output
    again = transfer("report", tmp_path / "kept")
    assert again.exit_code == 0 and again.stdout.count("| pretrain:") == 2
    assert ",pretrain:walk," in (tmp_path / "kept/cells.csv").read_text()
    lines = csv.DictReader((tmp_path / "kept/curves.csv").open())
    last = {line["mode"]: float(line["value"]) for line in lines if line["mode"].startswith("pretrain:")}
    events = {name: read_scalars(made / "trunk/0", f"train/loss/{name}")[-1][1] for name in ("hopper", "walk")}
    assert last == {f"pretrain:{name}": pytest.approx(value) for name, value in events.items()}  # each its own
    assert "asked" not in (tmp_path / "kept/episodes.csv").read_text().partition("\n")[0]


@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_was_stopped_between_its_sources_ends_in_the_same_bytes(
    stop: int,
    made: Path,
    two: Path,
    tiny: list[str],
    transfer: Transfer,
    tmp_path: Path,
    lasting: Callable[[Path], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = ["run", two, *tiny, *OPTIONS, "--runs-dir", tmp_path]
    finish, calls = Player.finish, []

    def stopping(self: Player) -> None:
        calls.append(self.title)
        if len(calls) == stop:
            raise KeyboardInterrupt
        finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(Player, "finish", stopping)
        assert transfer(*go).exit_code == 130
    assert "trained, stopped before the evaluation: trunk/0" in transfer("show", tmp_path / "two").stdout
    result = transfer(*go, "--resume")
    assert result.exit_code == 0, result.output
    assert lasting(tmp_path / "two") == lasting(made)


def test_another_run_takes_the_trunk_and_one_of_its_adapters(
    made: Path, tiny: list[str], transfer: Transfer, refused: Refused, tmp_path: Path
) -> None:
    go = ["run", "hopper-to-walker2d", *tiny, "--runs-dir", tmp_path, f"--set=pretrain.from={made}", "--modes"]
    refused(transfer(*go, "tuning"), "mode 'tuning' takes over", "hopper, walk", "adapt.inherit_from=hopper")
    refused(transfer(*go, "tuning", "--set=adapt.inherit_from=wolk"), "'wolk'", "Did you mean 'walk'")
    assert not list(tmp_path.iterdir())
    result = transfer(*go, "embeddings,tuning", "--set=adapt.inherit_from=walk")
    assert result.exit_code == 0, result.output
    played = transfer("eval", tmp_path / "hopper-to-walker2d/tuning/0", "--episodes", 1)
    assert played.exit_code == 0, played.output


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (('name = "walk"', ""), [], None),
        (('["walker2d/medium-expert"]\nname = "walk"', '["hopper/expert"]'), [], ["are of 'hopper'", "join them"]),
        (('name = "walk"', 'name = "hopper"'), [], ["are of 'hopper'", 'name = "other"']),
        (("", ""), ["--modes", "tuning"], ["takes over", "hopper, walk", "--set adapt.inherit_from=hopper"]),
        (("", ""), ["--set", "adapt.inherit=action"], ["takes over", "hopper, walk"]),
        (("", ""), ["--set", "source.episodes=900"], ["source.1.episodes is 900", "or to 0 for all"]),
        (("weight = 0.5", "weight = -1"), [], ["weight=-1"]),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    change: tuple[str, str],
    options: list[str],
    words: list[str] | None,
    tiny: list[str],
    transfer: Transfer,
    refused: Refused,
    tmp_path: Path,
) -> None:
    file = tmp_path / "my.toml"
    file.write_text(TWO.replace(*change), encoding="utf-8")
    result = transfer("run", file, *tiny, *options, "--runs-dir", tmp_path / "runs")
    if words is None:
        assert result.exit_code == 0 and (tmp_path / "runs/my/trunk/0/adapters/walker2d").is_dir(), result.output
        return
    refused(result, *words) if "episodes" not in str(options) else refused_late(result, words)
    assert not (tmp_path / "runs").exists()


def refused_late(result: Result, words: list[str]) -> None:
    """Refused after the data were loaded, which is said on stderr."""
    assert result.exit_code == 2 and all(word in result.stderr for word in words), result.output


@pytest.mark.parametrize(
    ("options", "choose"),
    [
        (["filter=test-best", "filter.count=1"], lambda episodes: best(episodes, count=1)),
        (["episodes=1"], lambda episodes: episodes.sample(1, 0)),
        (["filter=test-best", "episodes=1"], lambda episodes: best(episodes).sample(1, 0)),
    ],
)
def test_a_filter_and_a_number_of_episodes_choose_what_is_trained_on(
    options: list[str],
    choose: Callable[[Episodes], Episodes],
    tiny: list[str],
    transfer: Transfer,
    tmp_path: Path,
) -> None:
    go = ["run", "hopper-from-scratch", *tiny, *(f"--set=target.{one}" for one in options), "--runs-dir", tmp_path]
    result = transfer(*go, "--seeds", "4")
    assert result.exit_code == 0 and "trained on 1 of them" in result.stderr, result.output
    run, everything = tmp_path / "hopper-from-scratch", load_episodes("hopper/medium-expert")
    wanted = choose(everything).content_hash
    assert wanted != everything.content_hash
    assert read_used(run / "config.toml")["target"].content == wanted
    assert content(run / "scratch-adapt/4")["content_hash"] == wanted
    # the same episodes for another mode and another seed that come later
    again = transfer(*go, "--resume", "--modes", "mlp", "--seeds", "1")
    assert again.exit_code == 0, again.output
    assert content(run / "mlp/1")["content_hash"] == wanted


def test_held_out_episodes_are_trained_on_by_none_and_measured_by_all(
    made: Path, tiny: list[str], transfer: Transfer, tmp_path: Path
) -> None:
    """The error is that of the library on the same episodes; without the setting there is none."""
    from transfer.data.splits import held_out
    from transfer.models.sequence_model import TransferModel
    from transfer.training.held_out import held_out_error

    kept, out = held_out(load_episodes("walker2d/medium-expert"))
    found = content(made / "embeddings/0")
    assert found["content_hash"] == kept.content_hash
    trunk = Trunk.load(made / "trunk/0/trunk")
    model = TransferModel(trunk, Adapter.load(made / "embeddings/0/adapter", trunk))
    assert held_out_error(model, out) == pytest.approx(found["held_out_error"], rel=1e-4)
    result = transfer("run", "hopper-to-walker2d", *tiny, "--modes", "mlp", "--runs-dir", tmp_path)
    assert result.exit_code == 0 and "held-out" not in result.stdout
    assert content(tmp_path / "hopper-to-walker2d/mlp/0")["held_out_error"] is None


def test_a_source_that_is_gone_from_a_folder_is_not_finished(made: Path, transfer: Transfer, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(made, tmp_path / "copied"))
    (copied / "trunk/0/adapters/walk/results.json").unlink()
    shown = transfer("show", copied)
    assert "trained, stopped before the evaluation: trunk/0" in shown.stdout and "--resume" in shown.stdout
