"""The environments this library knows: ids, sizes, reference scores and default targets."""

import re
from dataclasses import dataclass

import numpy as np

from transfer.errors import unknown
from transfer.specs import EnvironmentSpec, ReferenceScores, describe, gym_spec_json


@dataclass(frozen=True)
class KnownEnvironment:
    """One row of the table.

    Attributes:
        name: the short name.
        gym_id: the version that bundled datasets are made in.
        state_size: S.
        action_size: A.
        reference: scale of the scores.
        target_returns: undiscounted returns to ask for by default.
    """

    name: str
    gym_id: str
    state_size: int
    action_size: int
    reference: ReferenceScores
    target_returns: tuple[float, ...]


# Reference scores: D4RL's REF_MIN_SCORE and REF_MAX_SCORE (Fu et al. 2020; github.com/Farama-Foundation/D4RL,
# d4rl/infos.py), measured by its authors in the v2 environments. There are no official numbers for v5, so a score of a
# v5 policy on this scale is comparable with our own and only roughly with D4RL's.
# Targets: the returns that Decision Transformer asks for (Chen et al. 2021; github.com/kzl/decision-transformer,
# gym/experiment.py, env_targets), the higher one first.
_TABLE = {
    known.name: known
    for known in (
        # D4RL infos.py, every 'hopper-*' row: random policy -20.272305, SAC expert 3234.3.
        KnownEnvironment("hopper", "Hopper-v5", 11, 3, ReferenceScores("D4RL", -20.272305, 3234.3), (3600.0, 1800.0)),
        # D4RL infos.py, every 'walker2d-*' row: random policy 1.629008, SAC expert 4592.3.
        KnownEnvironment("walker2d", "Walker2d-v5", 17, 6, ReferenceScores("D4RL", 1.629008, 4592.3), (5000.0, 2500.0)),
        # D4RL infos.py, every 'halfcheetah-*' row: random policy -280.178953, SAC expert 12135.0.
        KnownEnvironment(
            "halfcheetah", "HalfCheetah-v5", 17, 6, ReferenceScores("D4RL", -280.178953, 12135.0), (12000.0, 6000.0)
        ),
    )
}
ENVIRONMENTS = tuple(_TABLE)


def environment(name: str) -> EnvironmentSpec:
    """The spec of a known environment.

    Args:
        name: "hopper", "walker2d" or "halfcheetah".

    Raises:
        TransferError: the name is not in the table.
    """
    known = _TABLE.get(name)
    if known is None:
        raise unknown("environment", name, ENVIRONMENTS, "Other environments come with their dataset.")
    # A known environment has its own reference scores, so the returns of a dataset play no part.
    return describe(gym_spec_json(known.gym_id), known.state_size, known.action_size, np.zeros(1))


def find(gym_id: str) -> KnownEnvironment | None:
    """The row of a Gymnasium id of any version ("Hopper-v4" and "Hopper-v5" share one), None if there is none."""
    match = re.fullmatch(r"(\w+)-v\d+", gym_id)
    return _TABLE.get(match.group(1).lower()) if match else None


def reference_for(gym_id: str) -> ReferenceScores | None:
    """The reference scores of a Gymnasium id, None where no table has any."""
    known = find(gym_id)
    return known.reference if known else None
