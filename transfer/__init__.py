"""Move a sequence-model policy to another robot body by swapping its embeddings; the trunk stays frozen bit for bit.

The names below load on first use, so that `import transfer` costs no torch; the sub-packages `transfer.adapters`,
`transfer.envs` and `transfer.recipes` are imported by name.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# In a checkout the sub-packages lie beside this folder; installed, this does nothing.
_root = _Path(__file__).resolve().parent.parent
if (_root / "setup.cfg").is_file() and (_root / "adapters").is_dir():
    __path__.append(str(_root))

__all__ = [
    "Adapter",
    "AdapterConfig",
    "Callback",
    "EnvironmentSpec",
    "Episodes",
    "MixedModel",
    "PartSpec",
    "Policy",
    "Recorder",
    "ReferenceScores",
    "TrainConfig",
    "TransferError",
    "TransferModel",
    "Trunk",
    "TrunkConfig",
    "WindowSampler",
    "__version__",
    "adapt",
    "calibrate",
    "evaluate",
    "evaluate_together",
    "fingerprint",
    "load_episodes",
    "pretrain",
    "save_dataset",
    "train_only",
]

# Strings, so that the core offers names of envs and recipes without importing them.
_HOMES = {
    "Adapter": "transfer.models.adapter",
    "AdapterConfig": "transfer.models.steps.adapter_config",
    "Callback": "transfer.training.callbacks",
    "EnvironmentSpec": "transfer.data.environment.spec",
    "Episodes": "transfer.data.episodes",
    "MixedModel": "transfer.models.mixed_model",
    "PartSpec": "transfer.registry",
    "Policy": "transfer.evaluation.policy",
    "Recorder": "transfer.envs.writing.recorder",
    "ReferenceScores": "transfer.data.environment.spec",
    "TrainConfig": "transfer.training.train_config",
    "TransferError": "transfer.errors",
    "TransferModel": "transfer.models.sequence_model",
    "Trunk": "transfer.models.trunk",
    "TrunkConfig": "transfer.models.trunk",
    "WindowSampler": "transfer.data.windows",
    "adapt": "transfer.recipes.programs.adapt",
    "calibrate": "transfer.evaluation.calibration",
    "evaluate": "transfer.evaluation.evaluate",
    "evaluate_together": "transfer.evaluation.evaluate",
    "fingerprint": "transfer.storage.fingerprints",
    "load_episodes": "transfer.envs.loading",
    "pretrain": "transfer.recipes.programs.pretrain",
    "save_dataset": "transfer.envs.writing.saving",
    "train_only": "transfer.models.freezing",
}

if _TYPE_CHECKING:
    from transfer.data.environment.spec import EnvironmentSpec, ReferenceScores
    from transfer.data.episodes import Episodes
    from transfer.data.windows import WindowSampler
    from transfer.envs.loading import load_episodes
    from transfer.envs.writing.recorder import Recorder
    from transfer.envs.writing.saving import save_dataset
    from transfer.errors import TransferError
    from transfer.evaluation.calibration import calibrate
    from transfer.evaluation.evaluate import evaluate, evaluate_together
    from transfer.evaluation.policy import Policy
    from transfer.models.adapter import Adapter
    from transfer.models.freezing import train_only
    from transfer.models.mixed_model import MixedModel
    from transfer.models.sequence_model import TransferModel
    from transfer.models.steps.adapter_config import AdapterConfig
    from transfer.models.trunk import Trunk, TrunkConfig
    from transfer.recipes.programs.adapt import adapt
    from transfer.recipes.programs.pretrain import pretrain
    from transfer.registry import PartSpec
    from transfer.storage.fingerprints import fingerprint
    from transfer.training.callbacks import Callback
    from transfer.training.train_config import TrainConfig

    __version__: str


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        value: _Any = _version()
    elif name in _HOMES:
        value = getattr(_import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'transfer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The installed version; in a checkout that is not installed, the one that setup.cfg names."""
    from configparser import ConfigParser
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("embedding-swap")
    except PackageNotFoundError:
        config = ConfigParser()
        config.read(_root / "setup.cfg", encoding="utf-8")
        return config.get("metadata", "version", fallback="0+unknown")
