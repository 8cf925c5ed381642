"""A saved model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transfer.storage.saved_model import SavedModel, save
from transfer.models.sequence_model import TransferModel


@pytest.fixture
def one(make_model: Callable[..., TransferModel], tmp_path: Path) -> SavedModel:
    """The default model, saved."""
    return save(make_model(ia3=True), tmp_path)
