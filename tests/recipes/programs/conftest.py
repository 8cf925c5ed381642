"""Fixtures of the library's own tests."""

from tests.transfer.conftest import action, make_adapter, make_batch, make_episodes, make_model, make_trunk, short

__all__ = ["action", "make_adapter", "make_batch", "make_episodes", "make_model", "make_trunk", "short"]
