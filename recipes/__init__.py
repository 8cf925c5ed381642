"""Readable programs on top of the library, their presets, and the `transfer` command."""

# The folder lies in the root of the repository, but one file must never load as two modules.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.recipes, not recipes (see setup.cfg, package_dir)")
