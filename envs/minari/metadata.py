"""What the metadata of a dataset say about its environment. They are a file's word: nothing is built to read them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from transfer.data.environment.building.make import Spaces
from transfer.data.environment.building.parsing import parsed
from transfer.data.environment.building.recording import to_json
from transfer.data.environment.spec import EnvironmentSpec, as_spec, spec_of
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.storage.files import read_json

logger = logging.getLogger(__name__)
_TYPE = re.compile(r"(bool|float|u?int)\d{0,3}")
_TOLERANCE = 1e-6  # of bounds that went through float32


@dataclass(frozen=True)
class Recorded:
    """The environment of a dataset, as its metadata have it.

    Attributes:
        dataset_id: a Minari id.
        file: the metadata.
        metadata: parsed.
        collected_in: Gymnasium spec (JSON) of the environment that made the data, "" where there is none.
        played_in: that of the evaluation, which is the same where the dataset has no own.
        observation_space: the data's; None where the metadata declare none.
        action_space: the data's; None where the metadata declare none.
    """

    dataset_id: str
    file: Path
    metadata: Mapping[str, Any]
    collected_in: str
    played_in: str
    observation_space: Any
    action_space: Any

    @property
    def spaces(self) -> Spaces | None:
        """The data's own sizes and bounds, None where they are not declared.

        Raises:
            TransferError: they are not vectors of real numbers.
        """
        if self.observation_space is None or self.action_space is None:
            return None
        return Spaces.of(self.observation_space, self.action_space, f"dataset '{self.dataset_id}'")


def read_recorded(dataset_id: str, folder: Path, named: bool = False) -> Recorded:
    """Reads metadata.json in the folder of a dataset.

    Args:
        dataset_id: a Minari id.
        folder: where the metadata lie.
        named: the environment is named by the user, so that one in the metadata that cannot be read is no matter.

    Raises:
        TransferError: no JSON object, or specs and spaces in it that are none.
    """
    file = folder / "metadata.json"
    try:
        metadata = read_json(file)
        collected, played = (_spec(metadata, key, named) for key in ("env_spec", "eval_env_spec"))
        spaces = [_space(metadata, key) for key in ("observation_space", "action_space")]
    except TransferError as error:
        raise TransferError(f"dataset '{dataset_id}': {file} cannot be used: {error}") from error
    return Recorded(dataset_id, file, metadata, collected, played or collected, *spaces)


def _spec(metadata: Mapping[str, Any], key: str, named: bool) -> str:
    text = metadata.get(key)
    if text is None:
        return ""
    try:
        if not isinstance(text, str):
            raise TransferError(f"{key} is {seen(text)}; a Gymnasium spec as JSON in text is needed.")
        return to_json(parsed(text))
    except TransferError as error:
        if named:
            return ""
        raise TransferError(f"{error} Name another with env= (--env on the command line).") from error


def _space(metadata: Mapping[str, Any], key: str) -> Any:
    from minari.serialization import deserialize_space

    text = metadata.get(key)
    if text is None:
        return None
    try:
        _check_types(json.loads(text))
        return deserialize_space(text)
    except Exception as error:  # asserts, KeyErrors, RecursionErrors and worse
        raise TransferError(f"{key} is {seen(text)}, which is no space: {type(error).__name__}: {error}") from error


def _check_types(space: Any) -> None:
    """Raises ValueError unless the numbers in a space are of sound types: "S1000000000" is one of a gigabyte each."""
    left = [space]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            dtype = one.get("dtype", "float32")
            if not isinstance(dtype, str) or not _TYPE.fullmatch(dtype):
                raise ValueError(f"numbers of type {seen(dtype)}")
            inner = one.get("subspaces", [])
            left += inner.values() if isinstance(inner, dict) else inner


def environment_of(recorded: Recorded, env: Any = None, trust: bool = False) -> EnvironmentSpec:
    """The environment to evaluate in; what its scale is where it is in no table, is for whoever reads the returns.

    Args:
        recorded: what the metadata say.
        env: takes the place of what they say; see `as_spec`.
        trust: import and call whatever they name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: no environment, Discrete actions or images, or data of other sizes than the environment.
    """
    data = recorded.spaces
    known: dict[str, Any] = {"trust": trust}
    if data is not None:
        known |= {"slices": data.slices, "action_size": len(data.low), "bounds": (data.low, data.high)}
    if env is None and not recorded.played_in:
        raise TransferError(
            f"dataset '{recorded.dataset_id}': {recorded.file} names no environment. Name it where you load: "
            f"load_episodes('{recorded.dataset_id}', env=...) with a Gymnasium id or an environment, --env, or "
            '[target] env = "my_env:MyEnv-v0" in the TOML of a run.'
        )
    try:
        spec = spec_of(recorded.played_in, **known) if env is None else as_spec(env, **known)
    except TransferError as error:
        raise type(error)(f"dataset '{recorded.dataset_id}': {error}") from error
    if data is not None and differ((data.low, data.high), Spaces((), spec.action_low, spec.action_high)):
        logger.warning(
            "dataset '%s' has actions between %s and %s, its environment %s between %s and %s: if one of them rescales "
            "actions, a policy of these data plays other ones than they hold",
            *(recorded.dataset_id, data.low, data.high, spec.gym_id, spec.action_low, spec.action_high),
        )
    return spec


def differ(bounds: tuple[ArrayLike, ArrayLike], spaces: Spaces) -> bool:
    """Whether actions of the data and of their environment have different bounds; infinite ones fit any."""
    here, there = np.array(bounds, float), np.array([spaces.low, spaces.high])  # (2, A)
    if here.shape != there.shape:
        return False  # another number of them is told elsewhere
    both = np.isfinite(here) & np.isfinite(there)
    return bool((np.abs(here - there)[both] > _TOLERANCE * np.maximum(1, np.abs(there)[both])).any())
