"""The small data, trunks and adapters of the core's tests."""

from tests.transfer.conftest import action, make_adapter, make_batch, make_episodes, make_model, make_trunk, way

__all__ = ["action", "make_adapter", "make_batch", "make_episodes", "make_model", "make_trunk", "way"]
