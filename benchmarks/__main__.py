"""Measure, print Markdown, and write table.md, ratios.csv and ratios.png.

python -m benchmarks [--only NAME,...] [--quick] [--threads N] [--out DIR]
"""

import argparse
from pathlib import Path

import torch

from benchmarks.measuring.measure import Skip
from benchmarks.measuring.models import QUICK, Size
from benchmarks.report import RatioLine, facts, measure, section_text, write
from benchmarks.sections import SECTIONS


def main(arguments: list[str] | None = None) -> None:
    """Run the chosen sections; what is done is written after each of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, of: {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how fast it is")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder (default: runs/bench)")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if options.threads < 1:
        parser.error(f"--threads {options.threads}: at least 1")
    torch.set_num_threads(options.threads)
    about = facts(options.threads, options.quick)
    lines: list[RatioLine] = []
    skipped: list[str] = []
    for name in names:
        try:
            found = measure(name, QUICK if options.quick else Size(), about)
        except Skip as reason:
            skipped.append(f"## {name}\n\nSkipped: {reason}\n")
            print(skipped[-1], flush=True)
        else:
            lines += found
            print(section_text(name, found), flush=True)
        write(options.out, about, lines, skipped)
    print(f"{options.out / 'table.md'}, ratios.csv and ratios.png are written")


if __name__ == "__main__":
    main()
