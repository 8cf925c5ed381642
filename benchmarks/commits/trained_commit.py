"""The process behind `same_weights.py`: trains and plays with the library on the path, and writes arrays.

python benchmarks/commits/trained_commit.py CHECKOUT FOLDER STEPS EPISODES

Only public names are used, so that commits whose modules lie elsewhere run it too. It writes FOLDER/on.npz and models,
or, with EMBEDDING_SWAP_KERNELS=off, FOLDER/off.npz: what those models do without kernels.
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import transfer

ACTIONS = ("ActionEmbedding", "ActionTokenizedSpreadEmbedding")
SOURCE, TARGET = "bundled/hopper/medium-v0", "bundled/walker2d/medium-v0"
DECODES = {"autoregressive": 10, "parallel": 4}  # with the number of environments: two halves, and waves
BATCH, CONTEXT, SHORT, ACTS = 8, 20, 20, 50
SIZES = transfer.TrunkConfig(width=64, depth=2, heads=4)
Found = Iterator[tuple[str, NDArray[Any]]]


def main(checkout: str, folder: str, steps: str, episodes: str) -> None:
    """Train and play everything, or with the kernels off play what was saved, and write the arrays."""
    found = Path(str(transfer.__file__)).resolve()
    if not found.is_relative_to(Path(checkout).resolve()):
        raise SystemExit(f"{found} was imported, not what lies in {checkout}")
    torch.set_num_threads(1)
    logging.getLogger("transfer").setLevel(logging.ERROR)
    kernels = os.environ.get("EMBEDDING_SWAP_KERNELS", "on")
    data = transfer.load_episodes(SOURCE), transfer.load_episodes(TARGET)
    arrays: dict[str, NDArray[Any]] = {}
    for action in ACTIONS:
        models = Path(folder) / action
        if kernels == "off":
            parts = without_kernels(action, models, data[0], int(episodes))
        else:
            parts = everything(action, models, data, int(steps), int(episodes))
        arrays |= {f"{action}: {name}": values for name, values in parts}
    if kernels == "on":
        mlp = transfer.adapt(None, data[1], "mlp", config=training(int(steps)), trunk_config=SIZES, seed=3)
        arrays |= {f"mlp: {name}": values for name, values in played_and_weighed(mlp.model, int(episodes))}
    np.savez(Path(folder) / f"{kernels}.npz", **arrays)


def everything(action: str, folder: Path, data: tuple[Any, Any], steps: int, episodes: int) -> Found:
    """Weights of every training with one action embedding, and what some of the models play."""
    source, target = data
    noise = 0.1 if action == ACTIONS[1] else 0.0
    config, kinds = training(steps, state_noise=noise), small_bins(action)
    first = transfer.pretrain(source, config=config, trunk_config=SIZES, adapter_config=kinds, seed=1)
    yield from named("pretraining", played_and_weighed(first.model, episodes))
    for mode in ("embeddings", "embeddings+ia3", "full"):
        model = transfer.adapt(first.trunk, target, mode, config=training(steps), seed=2).model
        plays = mode == "embeddings+ia3"
        yield from named(mode, played_and_weighed(model, episodes) if plays else weights(model))
        if plays:
            yield from named(mode, calibrated(model, folder, first.model))
            together = transfer.MixedModel(model.trunk, {"source": first.adapter, "target": model.adapter})
            for name, one in transfer.evaluate_together(together, 2).items():
                yield f"near: together, returns of {name}", one.returns
    for mode in ("random-trunk:embeddings+ia3", "embeddings+ia3"):  # pretraining and full training with IA3 vectors
        model = copy.deepcopy(transfer.adapt(first.trunk, target, mode, config=training(1), seed=4).model)
        fit_everything(model, target, training(steps))
        yield from named(f"everything after {mode}", weights(model))
    for mode in ("embeddings+conditioning", "state", "scratch-adapt", "shuffled-trunk:embeddings"):
        like = {"source": first.adapter} if mode == "state" else {}
        data_of_mode = source if mode == "state" else target
        model = transfer.adapt(first.trunk, data_of_mode, mode, config=training(SHORT), seed=5, **like).model
        yield from named(mode, weights(model))


def without_kernels(action: str, folder: Path, source: Any, episodes: int) -> Found:
    """Episodes and actions of saved models, and a short training, with PyTorch's operations alone."""
    trunk = transfer.Trunk.load(folder / "trunk")
    for name in ("source", "target"):
        model = transfer.TransferModel(trunk, transfer.Adapter.load(folder / name, trunk)).eval()
        yield from named(f"near: kernels off, {name}", played(model, episodes))
        yield f"near: kernels off, {name}, actions of act", acted(model, "autoregressive")
    kinds = small_bins(action)
    model = transfer.pretrain(source, config=training(SHORT), trunk_config=SIZES, adapter_config=kinds).model
    yield from named("kernels off, pretraining", weights(model))


def small_bins(action: str) -> Any:
    """The kinds of an adapter with 16 bins where its actions are tokenized, in the form that the library takes."""
    try:
        return transfer.AdapterConfig(action=action, bins=16)
    except TypeError:  # once options of parts lay beside their kinds
        options = {"bins": 16} if "Tokenized" in action else {}
        return transfer.AdapterConfig(action={"kind": action, **options})


def training(steps: int, **more: Any) -> Any:
    """A configuration of small batches."""
    once = {"steps": steps, "log_every": steps, "save_every": steps}
    return transfer.TrainConfig(batch_size=BATCH, context=CONTEXT, **once, **more)


def fit_everything(model: Any, episodes: Any, config: Any) -> None:
    """Train all parts of a model, its IA3 vectors too; the loop has no public name, so it is looked for."""
    try:
        loop = importlib.import_module("transfer.training.fit")
    except ModuleNotFoundError:  # once it was one file
        loop = importlib.import_module("transfer.training")
    loop.fit(model, transfer.WindowSampler(episodes, CONTEXT, BATCH, seed=4), config, list(model.parts()))
    model.eval()


def played_and_weighed(model: Any, episodes: int) -> Found:
    """Weights, whole episodes, and single actions."""
    yield from weights(model)
    yield from played(model, episodes)
    for decode in DECODES:
        yield f"actions of act, {decode}", acted(model, decode)


def weights(model: Any) -> Found:
    """Parameters and buffers by name."""
    return numbers({name: values.numpy() for name, values in model.state_dict().items()})


def numbers(state: Mapping[str, NDArray[Any]]) -> Found:
    """All but the JSON that rides along as a tensor."""
    return ((name, values) for name, values in state.items() if not name.endswith("_extra_state"))


def played(model: Any, episodes: int) -> Found:
    """Returns, lengths and actions of whole episodes, in every way of decoding."""
    for decode, num_envs in DECODES.items():
        one = transfer.evaluate(model, None, episodes, decode=decode, num_envs=num_envs)
        for name in ("returns", "lengths", "actions"):
            yield f"{name}, {decode}", getattr(one, name)


def acted(model: Any, decode: str) -> NDArray[np.float32]:
    """The actions of `Policy.act` in given states, so that a small difference does not grow; over several restarts."""
    rng, policy, size = np.random.default_rng(0), transfer.Policy(model, decode=decode), model.env_spec.state_size
    states = (rng.standard_normal((ACTS, size)) * 0.3).astype(np.float32)
    return np.stack([policy.act(state, 1.0 if i else None) for i, state in enumerate(states)])


def calibrated(model: Any, folder: Path, source: Any) -> Found:
    """The table of a calibration, what the model asks for then, and the tensors of its files."""
    from safetensors.numpy import load_file

    table = transfer.calibrate(model, num_episodes=2).to_json()
    for number, column in enumerate(one for one in table.values() if one is not None):
        yield f"calibration, column {number}", np.asarray(column, np.float64)
    yield "target after calibration", np.asarray(transfer.Policy(model).target_return)
    model.trunk.save(folder / "trunk")
    model.adapter.save(folder / "target")
    source.adapter.save(folder / "source")
    for file in sorted(folder.rglob("*.safetensors")):
        yield from named(f"saved {file.parent.name}", numbers(load_file(file)))


def named(prefix: str, some: Found) -> Found:
    """The same arrays under longer names."""
    return ((f"{prefix}, {name}", values) for name, values in some)


if __name__ == "__main__":
    main(*sys.argv[1:])
