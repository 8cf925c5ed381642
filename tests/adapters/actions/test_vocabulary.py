"""What tokens make of an environment's actions, in its own bounds."""

import numpy as np
import pytest
import torch

from transfer import registry
from transfer.adapters.actions.vocabulary import Vocabulary
from transfer.adapters.tokenizers.tokenizer import make_tokenizer
from transfer.models.steps.scales import ActionRange

LOW, HIGH = torch.tensor([-2.0, 0.1]), torch.tensor([2.0, 0.7])
SCALE = ActionRange(LOW, HIGH, (LOW + HIGH) / 2, (HIGH - LOW) / 2)


def actions() -> np.ndarray:
    """(300, 2) float32 in these bounds, a part of them at each bound."""
    shares = np.random.default_rng(0).uniform(0, 1, (300, 2))
    shares[:40], shares[40:80] = 0, 1
    low, high = LOW.numpy(), HIGH.numpy()
    return (low + shares * (high - low)).astype(np.float32).clip(low, high)


def test_frequent_bounds_come_back_to_the_bit() -> None:
    tokenizer = make_tokenizer("quantile", 16).fit(SCALE.inward(torch.from_numpy(actions())).numpy())
    decoded = Vocabulary(tokenizer, SCALE).decoded(actions())
    np.testing.assert_array_equal(decoded[:80], actions()[:80])


@pytest.mark.parametrize("kind", sorted(registry.known("tokenizer")))
def test_an_action_becomes_the_value_of_its_bin(kind: str) -> None:
    scaled = SCALE.inward(torch.from_numpy(actions())).numpy()
    tokenizer = make_tokenizer(kind, 16).fit(scaled)
    decoded = Vocabulary(tokenizer, SCALE).decoded(actions())
    ids = tokenizer.transform(scaled)
    wanted = [SCALE.middle[i].item() + SCALE.half[i].item() * tokenizer.centers_[i, ids[:, i]] for i in range(2)]
    np.testing.assert_allclose(decoded, np.stack(wanted, 1), atol=1e-6)
    assert 0 < np.abs(decoded - actions()).max() < 0.5
