"""The parts that know one environment: state and action embeddings, tokenizers, readouts, tuning; building them."""

# The folder lies in the root of the repository. One file must not load under two module names.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.adapters, not adapters (see setup.cfg, package_dir)")
