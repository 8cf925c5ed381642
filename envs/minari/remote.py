"""The datasets on Minari's public remote, as a list that ships with the library, so that it needs no network.

Taken from minari.farama.org in 2026. Datasets with images or discrete actions (atari/..., minigrid/...) are left out,
because the library supports neither.
"""

import os

_DEFAULT = "hf://farama-minari"
_PLAY = ("simple", "medium", "expert")
_GROUPS: dict[str, tuple[tuple[str, ...], str]] = {
    **{f"mujoco/{env}/{{}}-v0": (_PLAY, env) for env in ("hopper", "walker2d", "halfcheetah", "ant")},
    **{f"mujoco/{env}/{{}}-v0": (_PLAY, "") for env in ("humanoid", "humanoidstandup")},
    **{
        f"mujoco/{env}/{{}}-v0": (_PLAY[1:], "")
        for env in ("invertedpendulum", "inverteddoublependulum", "pusher", "reacher", "swimmer")
    },
    **{f"D4RL/{env}/{{}}-v2": (("human", "cloned", "expert"), env) for env in ("pen", "door", "hammer", "relocate")},
    "D4RL/antmaze/{}-v1": (("umaze", "umaze-diverse"), "antmaze-umaze"),
    **{f"D4RL/antmaze/{size}-{{}}-v1": (("play", "diverse"), f"antmaze-{size}") for size in ("medium", "large")},
    "D4RL/kitchen/{}-v2": (("complete", "mixed", "partial"), ""),
    **{f"D4RL/pointmaze/{size}{{}}-v2": (("", "-dense"), "") for size in ("open", "umaze", "medium", "large")},
}
# Ids of the datasets, with the short name of the environment, "" if it is not in the catalog.
REMOTE: dict[str, str] = {group.format(label): env for group, (labels, env) in _GROUPS.items() for label in labels}


def is_minaris_own() -> bool:
    """Whether the configured remote is the one of this list; MINARI_REMOTE may name another."""
    return os.environ.get("MINARI_REMOTE", _DEFAULT).rstrip("/") == _DEFAULT
