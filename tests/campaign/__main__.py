"""Bad and good inputs by the thousand, each in a process of its own, and a table of what came of them.

python -m tests.campaign [--seed N] [--count M] [--families NAME,...] [--input FAMILY/N] [--out DIR]

Input FAMILY/N is a function of the seed and of its name, so it can be run again alone.
"""

from __future__ import annotations

import argparse
import collections
import configparser
import importlib
import os
import pkgutil
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.campaign.engine import FAULTS, Refused, Trial, Verdict, judge
from tests.campaign.families import FAMILIES
from tests.campaign.sandbox import snapshot
from tests.campaign.shop import open_shop


def main(arguments: list[str] | None = None) -> int:
    """Run some inputs; 1 when one of them did not end as it has to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200, help="inputs, over all families (default: 200)")
    parser.add_argument("--families", default=",".join(FAMILIES), help=f"of: {', '.join(FAMILIES)}")
    parser.add_argument("--input", default="", help="one input alone, by its name")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder for failures.txt")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    warm_up()
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        shop = open_shop(Path(name) / "shop")
        before = snapshot(shop)
        inputs = [options.input] if options.input else names(options.families.split(","), options.count)
        found = [(one, *try_input(options.seed, one, shop, loud=bool(options.input))) for one in inputs]
        touched = before != snapshot(shop)
    print(table(found))
    failures = [(one, trial, verdict) for one, trial, verdict in found if verdict.faults]
    print(f"{len(found)} inputs in {time.monotonic() - began:.0f} s; {len(failures)} failures")
    if touched:
        print("an input wrote outside of its own place")
    if failures:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "failures.txt").write_text("\n".join(report(failures, options.seed)), encoding="utf-8")
        print(f"written to {options.out / 'failures.txt'}")
    return int(bool(failures) or touched)


def warm_up() -> None:
    """Import everything once and use one thread, so that a fork costs nothing and is safe."""
    import torch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("h5py", "minari", "mujoco", "gymnasium.wrappers", "gymnasium_robotics", "matplotlib.figure"):
        importlib.import_module(name)
    for name in ("torch.utils.tensorboard", "tests.point", "transfer"):
        importlib.import_module(name)
    for name in library_modules():
        importlib.import_module(name)
    from transfer import native

    native.library()  # built once, not by every fork


def library_modules() -> Iterator[str]:
    """Every module of the packages that setup.cfg lists."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg", encoding="utf-8")
    for package in config["options"]["packages"].split():
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not module.ispkg and module.name != "__main__":
                yield f"{package}.{module.name}"


def names(families: list[str], count: int) -> Iterator[str]:
    """FAMILY/N, the families in turn."""
    for index in range(count):
        yield f"{families[index % len(families)]}/{index // len(families)}"


def make(seed: int, name: str, shop: Path) -> Trial:
    """The input of a name."""
    return FAMILIES[name.partition("/")[0]](random.Random(f"{seed}/{name}"), shop)


def try_input(seed: int, name: str, shop: Path, loud: bool = False) -> tuple[Trial, Verdict]:
    """Make and judge an input."""
    trial = make(seed, name, shop)
    verdict = judge(trial, shop)
    if loud:
        print(f"{name}: {trial.name}\nwants {trial.wants}\n{verdict.outcome} in {verdict.seconds:.2f} s")
        for fault, said in verdict.faults.items():
            print(f"--- {fault}\n{said}")
    return trial, verdict


def table(found: list[tuple[str, Trial, Verdict]]) -> str:
    """Markdown: a row per family, counts of outcomes and of faults."""
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name, trial, verdict in found:
        for family in (name.partition("/")[0], "all"):
            rows[family].update(("inputs", verdict.outcome, *verdict.faults))
            rows[family]["valid"] += not isinstance(trial.wants, Refused)
    columns = ("inputs", "valid", "refused", "accepted", *FAULTS)
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    order = [*(family for family in rows if family != "all"), "all"]
    lines += [f"| {family} | {' | '.join(str(rows[family][column]) for column in columns)} |" for family in order]
    return "\n".join(lines)


def report(failures: list[tuple[str, Trial, Verdict]], seed: int) -> Iterator[str]:
    """The failures, those of one fault together, each with the command that repeats it."""
    for fault in FAULTS:
        some = [(one, trial, verdict) for one, trial, verdict in failures if fault in verdict.faults]
        yield f"# {fault}: {len(some)}\n" if some else ""
        for name, trial, verdict in some:
            said = verdict.faults[fault].strip()
            yield f"## {name}: {trial.name}\npython -m tests.campaign --seed {seed} --input '{name}'"
            yield f"{said.splitlines()[-1]}\n\n{said}\n"


if __name__ == "__main__":
    sys.exit(main())
