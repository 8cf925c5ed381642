"""What knows one body: state embeddings, action tokenizers, action embeddings with their readouts, IA3."""

# The folder lies in the root of the repository, but one file must never load as two modules.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.adapters, not adapters (see setup.cfg, package_dir)")
