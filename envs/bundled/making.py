"""Making datasets of the kinds that D4RL has from the bundled behaviour policies, without a network."""

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from transfer.envs.dataset_ids import BUNDLED, data_path, is_local
from transfer.envs.writing.minari_format import publish, staging, write_dataset
from transfer.errors import TransferError, unknown
from transfer.numbers import MOST_SEED, MOST_STEPS, whole
from transfer.storage.files import read_json

logger = logging.getLogger(__name__)


class Made(tuple[str, ...]):
    """Ids of the datasets, in the order in which they are joined.

    Attributes:
        made: whether the call made any of them; False if all of them existed.
    """

    made: bool = False


def make_dataset(
    name: str,
    steps: int = 100_000,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Made:
    """Makes local Minari datasets with the bundled policies.

    The episodes are a function of (name of the policy, seed), so two calls on one machine give equal data. The datasets
    appear together at the end; after an error or Ctrl-C none does.

    Args:
        name: "hopper/medium", "hopper/expert", "hopper/medium-expert", and the same for walker2d.
        steps: steps of each policy, and those that complete its last episode.
        seed: zero or more.
        on_progress: called with (steps taken, steps to take) over all policies.
        overwrite: replace existing datasets; otherwise they are kept.

    Returns:
        The ids, such as ("bundled/hopper/medium-v0", "bundled/hopper/expert-v0"), with `made`.

    Raises:
        TransferError: unknown name, or steps or seed out of range.
    """
    steps, seed = whole(steps, "steps", 1, MOST_STEPS), whole(seed, "seed", 0, MOST_SEED)
    if not isinstance(name, str) or name not in BUNDLED:
        raise unknown("bundled dataset", name, BUNDLED, "Other datasets come from Minari: `minari list remote`.")
    result = Made(BUNDLED[name])
    todo = [one for one in result if overwrite or not is_local(one)]
    for one in set(result) - set(todo):
        _warn_if_different(one, steps, seed)
    result.made = bool(todo)
    if todo:
        _make(todo, steps, seed, on_progress or (lambda done, total: None))
    return result


def _make(ids: Sequence[str], steps: int, seed: int, on_progress: Callable[[int, int], None]) -> None:
    import gymnasium

    from transfer.envs.bundled.generate import Behaviour, generate

    total = steps * len(ids)
    with staging() as folder:
        for index, dataset_id in enumerate(ids):
            _, env, label = dataset_id.removesuffix("-v0").split("/")
            behaviour = Behaviour.load(f"{env}-{label}")

            def on_steps(done: int, before: int = steps * index) -> None:
                on_progress(before + done, total)

            episodes = generate(behaviour, steps, seed, on_steps)
            noise = behaviour.noise
            metadata: dict[str, Any] = {
                "algorithm_name": "SAC (sbx)",
                "description": f"Rollouts of a bundled behaviour policy, noise {noise}: {behaviour.description}",
                "bundled": {"behaviour": behaviour.name, "noise": noise, "steps": steps, "seed": seed},
                "requirements": [f"{package}=={version(package)}" for package in ("mujoco", "gymnasium")],
            }
            write_dataset(folder / str(index), dataset_id, gymnasium.spec(behaviour.gym_id), episodes, metadata)
        for index, dataset_id in enumerate(ids):
            publish(folder / str(index), dataset_id)
    on_progress(total, total)


def _warn_if_different(dataset_id: str, steps: int, seed: int) -> None:
    try:
        before = read_json(data_path(dataset_id) / "metadata.json").get("bundled")
        made_with = whole(before["steps"], "steps"), whole(before["seed"], "seed")  # type: ignore[index]
    except (TransferError, TypeError, KeyError):
        return  # edited or damaged: loading reports it
    if made_with != (steps, seed):
        logger.warning(
            "%s is kept as it was made, with %d steps of seed %d; overwrite it to have %d steps of seed %d",
            *(dataset_id, *made_with, steps, seed),
        )
