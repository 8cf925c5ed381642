"""Environments and datasets: the catalog, loading from Minari, recording and saving, D4RL files, bundled behaviours."""

# The folder lies in the root of the repository. One file must not load under two module names.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.envs, not envs (see setup.cfg, package_dir)")
