"""The families of inputs, by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.campaign import toml_keys
from tests.campaign.engine import Trial

FAMILIES: dict[str, Callable[[random.Random, Path], Trial]] = {
    "toml": toml_keys.make,
}
