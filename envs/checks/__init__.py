"""The checks behind `transfer.envs.doctor`: each takes the survey of a dataset and yields findings."""

# As transfer.envs: one file must never load as two modules.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.envs.checks, not envs.checks (see setup.cfg, package_dir)")
