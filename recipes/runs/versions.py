"""Versions of everything that a result depends on."""

import functools
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "gymnasium", "mujoco", "minari", "gymnasium-robotics")


@functools.cache
def versions() -> dict[str, str]:
    """Name -> version of this library, Python and `PACKAGES`."""
    from transfer import __version__

    found = {"embedding-swap": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
