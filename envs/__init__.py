"""Environments and data: specs, reference scores, loading from Minari, bundled behaviours."""

# The folder lies in the root of the repository, but one file must never load as two modules.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.envs, not envs (see setup.cfg, package_dir)")
