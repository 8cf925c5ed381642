"""The families of inputs, by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.campaign import (
    arrays,
    checkpoints,
    command_line,
    datasets,
    environments,
    library,
    paths,
    run_folders,
    targets,
    toml_keys,
)
from tests.campaign.engine import Trial

FAMILIES: dict[str, Callable[[random.Random, Path], Trial]] = {
    "toml": toml_keys.make,
    "command line": command_line.make,
    "checkpoints": checkpoints.make,
    "run folders": run_folders.make,
    "datasets": datasets.make,
    "arrays": arrays.make,
    "library": library.make,
    "environments": environments.make,
    "paths": paths.make,
    "targets": targets.make,
}
