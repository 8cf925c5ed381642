"""Reading the metadata of a dataset: spaces, environment specs, required packages. Builds no environment."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from transfer.data.environment.building.make import Spaces
from transfer.data.environment.building.parsing import parsed
from transfer.data.environment.building.recording import to_json
from transfer.data.environment.spec import EnvironmentSpec, as_spec, spec_of
from transfer.errors import TransferError
from transfer.numbers import seen
from transfer.storage.files import read_json

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

logger = logging.getLogger(__name__)
_TYPE = re.compile(r"(bool|float|u?int)\d{0,3}")
_TOLERANCE = 1e-6  # relative, for bounds that were stored as float32


@dataclass(frozen=True)
class DatasetMetadata:
    """The environment that the metadata of a dataset describe."""

    dataset_id: str
    file: Path  # metadata.json
    content: Mapping[str, Any]  # its JSON object
    collected_in: str  # Gymnasium spec (JSON) of the environment that made the data, "" if there is none
    played_in: str  # Gymnasium spec (JSON) of the environment to evaluate in; default: `collected_in`
    observation_space: Any  # declared by the metadata, None if it is not
    action_space: Any  # the same

    @property
    def spaces(self) -> Spaces | None:
        """Sizes and bounds of the data, None if they are not declared.

        Raises:
            TransferError: observations or actions are not vectors of real numbers.
        """
        if self.observation_space is None or self.action_space is None:
            return None
        return Spaces.of(self.observation_space, self.action_space, f"dataset '{self.dataset_id}'")


def read_metadata(dataset_id: str, folder: Path, named: bool = False) -> DatasetMetadata:
    """Reads metadata.json in the folder of a dataset.

    Args:
        dataset_id: a Minari id.
        folder: the folder of the metadata file.
        named: whether the user names the environment. Then unreadable specs in the metadata are ignored.

    Raises:
        TransferError: the file is not a JSON object, or a spec or space in it cannot be read.
    """
    file = folder / "metadata.json"
    try:
        content = read_json(file)
        collected, played = (_spec(content, key, named) for key in ("env_spec", "eval_env_spec"))
        spaces = [_space(content, key) for key in ("observation_space", "action_space")]
    except TransferError as error:
        raise TransferError(f"dataset '{dataset_id}': {file} cannot be used: {error}") from error
    return DatasetMetadata(dataset_id, file, content, collected, played or collected, *spaces)


def _spec(content: Mapping[str, Any], key: str, named: bool) -> str:
    text = content.get(key)
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


def _space(content: Mapping[str, Any], key: str) -> Any:
    from minari.serialization import deserialize_space

    text = content.get(key)
    if text is None:
        return None
    try:
        _check_types(json.loads(text))
        return deserialize_space(text)
    except Exception as error:  # AssertionError, KeyError, RecursionError and others
        raise TransferError(f"{key} is {seen(text)}, which is no space: {type(error).__name__}: {error}") from error


def _check_types(space: Any) -> None:
    """Raises ValueError unless the dtypes in a space are numeric: one "S1000000000" value would take a gigabyte."""
    left = [space]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            dtype = one.get("dtype", "float32")
            if not isinstance(dtype, str) or not _TYPE.fullmatch(dtype):
                raise ValueError(f"numbers of type {seen(dtype)}")
            inner = one.get("subspaces", [])
            left += inner.values() if isinstance(inner, dict) else inner


def evaluation_spec(metadata: DatasetMetadata, env: Any = None, trust: bool = False) -> EnvironmentSpec:
    """Returns the spec of the environment to evaluate in.

    The scale of an environment outside the catalog is measured later, on the returns.

    Args:
        metadata: of the dataset.
        env: replaces the environment of the metadata; see `as_spec`.
        trust: import and call whatever the metadata name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: no environment, Discrete actions or images, or data and environment of different sizes.
    """
    data = metadata.spaces
    if env is None and not metadata.played_in:
        raise TransferError(
            f"dataset '{metadata.dataset_id}': {metadata.file} names no environment. Name it where you load: "
            f"load_episodes('{metadata.dataset_id}', env=...) with a Gymnasium id or an environment, --env, or "
            '[target] env = "my_env:MyEnv-v0" in the TOML of a run.'
        )
    try:
        if env is None:
            spec = spec_of(metadata.played_in, data=data, trust=trust)
        else:
            spec = as_spec(env, data=data, trust=trust)
    except TransferError as error:
        raise type(error)(f"dataset '{metadata.dataset_id}': {error}") from error
    if data is not None and differ((data.low, data.high), Spaces((), spec.action_low, spec.action_high)):
        logger.warning(
            "dataset '%s' has actions between %s and %s, its environment %s between %s and %s: if one of them rescales "
            "actions, a policy of these data plays other ones than they hold",
            *(metadata.dataset_id, data.low, data.high, spec.gym_id, spec.action_low, spec.action_high),
        )
    return spec


def unmet_requirements(content: Mapping[str, Any]) -> Iterator[tuple[Requirement, Version | None]]:
    """Yields the packages that the data were recorded with and that differ here, with the installed version."""
    from packaging.requirements import InvalidRequirement, Requirement

    texts = content.get("requirements")
    for text in texts if isinstance(texts, list) else ():
        try:
            wanted = Requirement(text)
        except (InvalidRequirement, TypeError):
            continue
        here = installed(wanted.name)
        if here is None or not wanted.specifier.contains(here, prereleases=True):
            yield wanted, here


def installed(package: str) -> Version | None:
    """Returns the installed version of a package, None if it is missing."""
    from packaging.version import Version

    try:
        return Version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return None


def differ(bounds: tuple[ArrayLike, ArrayLike], spaces: Spaces) -> bool:
    """Whether data and environment have different action bounds. Infinite bounds match any."""
    here, there = np.array(bounds, float), np.array([spaces.low, spaces.high])  # (2, A)
    if here.shape != there.shape:
        return False  # different sizes are reported elsewhere
    both = np.isfinite(here) & np.isfinite(there)
    return bool((np.abs(here - there)[both] > _TOLERANCE * np.maximum(1, np.abs(there)[both])).any())
