"""Bad and good inputs by the thousand, each in a process of its own, and a table of what came of them.

python -m tests.campaign [--seed N] [--count M] [--kills K] [--gates] [--families NAME,...] [--input FAMILY/N]

Input FAMILY/N is a function of the seed and of its name, so it can be run again alone.
"""

from __future__ import annotations

import argparse
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

from tests.campaign.engine import Accepted, judge
from tests.campaign.families import FAMILIES
from tests.campaign.gates import GATES, caught
from tests.campaign.kills import Kills
from tests.campaign.results import Result, table, write
from tests.campaign.sandbox import snapshot
from tests.campaign.shop import open_shop


def main(arguments: list[str] | None = None) -> int:
    """Run some inputs; 1 when one of them did not end as it has to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=0, help="inputs, over all families")
    parser.add_argument("--kills", type=int, default=0, help="processes that are killed")
    parser.add_argument("--gates", action="store_true", help="open each gate of the library: is it noticed?")
    parser.add_argument("--families", default=",".join(FAMILIES), help=f"of: {', '.join(FAMILIES)}")
    parser.add_argument("--input", default="", help="one input alone, by its name, as toml/3 or kill/3")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder for failures.txt")
    options = parser.parse_args(arguments)
    families, began, results = options.families.split(","), time.monotonic(), list[Result]()
    if unknown := [name for name in families if name not in FAMILIES]:
        parser.error(f"no family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    (options.out / "failures.txt").unlink(missing_ok=True)
    warm_up()
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        shop = open_shop(Path(name) / "shop")
        before = snapshot(shop)
        for result in tried(options, families, shop):
            results.append(result)
            if result.verdict.faults:
                file = write(options.out, results, options.seed)
            if len(results) % 100 == 0:
                print(f"{len(results)} inputs in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        missed = unnoticed(shop, options.seed) if options.gates else 0
        touched = before != snapshot(shop)
    if results:
        print(table(results))
    failures = sum(bool(one.verdict.faults) for one in results)
    print(f"{len(results)} inputs in {time.monotonic() - began:.0f} s; {failures} failures")
    if failures:
        print(f"written to {file}")
    if touched:
        print("an input wrote outside of its own place")
    return int(bool(failures or missed or touched))


def tried(options: argparse.Namespace, families: list[str], shop: Path) -> Iterator[Result]:
    """The inputs that were asked for, one after another."""
    kills = Kills(shop, options.seed)
    if options.input:
        family, _, number = options.input.partition("/")
        yield loud(kill(kills, int(number)) if family == "kill" else one(options, family, int(number), shop))
        return
    for index in range(options.count):
        yield one(options, families[index % len(families)], index // len(families), shop)
    for index in range(options.kills):
        yield kill(kills, index)


def one(options: argparse.Namespace, family: str, number: int, shop: Path) -> Result:
    """Make and judge an input."""
    trial = FAMILIES[family](random.Random(f"{options.seed}/{family}/{number}"), shop)
    return Result(family, number, trial.name, isinstance(trial.wants, Accepted), judge(trial, shop))


def kill(kills: Kills, number: int) -> Result:
    """Kill and judge what comes of it."""
    title, verdict = kills.judge(number)
    return Result("kill", number, title, True, verdict)


def loud(result: Result) -> Result:
    """Say all there is to say."""
    print(f"{result.name}: {result.title}\n{result.verdict.outcome} in {result.verdict.seconds:.2f} s")
    for fault, said in result.verdict.faults.items():
        print(f"--- {fault}\n{said}")
    return result


def unnoticed(shop: Path, seed: int) -> int:
    """How many gates may be open without a failure; prints a line for each gate."""
    missed = 0
    for name, gate in GATES.items():
        found, how = caught(gate, shop, seed)
        print(f"{name}: {'noticed by ' + found if found else 'NOT NOTICED'}: {how}", flush=True)
        missed += not found
    return missed


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
    from transfer.runtime import native

    native.library()  # built once, not by every fork


def library_modules() -> Iterator[str]:
    """Every module of the packages that setup.cfg lists."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg", encoding="utf-8")
    for package in config["options"]["packages"].split():
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not module.ispkg and module.name != "__main__":
                yield f"{package}.{module.name}"


if __name__ == "__main__":
    sys.exit(main())
