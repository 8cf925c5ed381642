"""A trunk with its tuning folded in computes what both compute together."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.adapters.tuning.test_tunings import SPECS
from tests.forcing import hidden_of
from tests.lively import enliven
from transfer.adapters.build import build_adapter
from transfer.adapters.tuning.merge import merge
from transfer.data.batch import Batch
from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.models.adapter import Adapter
from transfer.models.sequence_model import TransferModel
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import Trunk
from transfer.storage.fingerprints import fingerprint


@pytest.fixture(params=SPECS)
def model(
    request: pytest.FixtureRequest, make_trunk: Callable[..., Trunk], make_episodes: Callable[..., Episodes]
) -> TransferModel:
    """With a lively tuning of each kind."""
    trunk = make_trunk()
    adapter = build_adapter(make_episodes(), trunk.config, AdapterConfig(tuning=SPECS[request.param]), tuning=True)
    enliven(adapter, 1)
    adapter.made_on(trunk)
    return TransferModel(trunk, adapter).eval()


def test_the_merged_pair_computes_the_same(
    model: TransferModel, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    before = fingerprint(model.trunk), fingerprint(model.adapter)
    trunk, adapter = merge(model.trunk, model.adapter)
    assert (fingerprint(model.trunk), fingerprint(model.adapter)) == before
    assert fingerprint(trunk) != before[0] and "tuning" not in adapter.parts()
    trunk.save(tmp_path)
    adapter.save(tmp_path)
    loaded = Trunk.load(tmp_path)
    merged, batch = TransferModel(loaded, Adapter.load(tmp_path, loaded)), make_batch(model)
    with torch.no_grad():
        one, other = (hidden_of(each, batch)["action"] for each in (model, merged))
    torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)
    assert loaded.provenance.more["merged"]["tuning"] == model.adapter.config.of("tuning").kind
    assert loaded.provenance.before is not None and loaded.provenance.before.trunk == before[0]


def test_without_a_tuning_there_is_nothing_to_merge(
    make_trunk: Callable[..., Trunk], make_adapter: Callable[..., Adapter]
) -> None:
    trunk = make_trunk()
    with pytest.raises(TransferError, match="has no tuning: there is nothing to merge"):
        merge(trunk, make_adapter("Hopper-v5", 0, trunk))
    with pytest.raises(TransferError, match="was made on the trunk"):
        merge(make_trunk(3), make_adapter("Hopper-v5", 0, trunk, ia3=True))
