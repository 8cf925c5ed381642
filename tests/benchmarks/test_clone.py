"""Cloning at other bounds of actions than ±1, at a small size."""

import pytest

from benchmarks.clone import BOUNDS, clone, table
from transfer.training.train_config import TrainConfig


def test_a_clone_is_compared_with_its_behaviour_at_any_bounds() -> None:
    rows = [clone(BOUNDS[name], 1, 1, TrainConfig(steps=2, batch_size=2, context=4)) for name in ("unit", "pendulum")]
    assert rows[0].behaviour == pytest.approx(rows[1].behaviour, abs=0.1)
    assert "| 0 to 1 | " in table(rows) and "| -2 to 2 | " in table(rows)
