"""The sections, by name, in the order of the table."""

from benchmarks import decoding, frozen, huggingface, mfu, rollout, sampling, scaling

SECTIONS = {
    module.__name__.rpartition(".")[2]: module
    for module in (mfu, frozen, huggingface, rollout, decoding, sampling, scaling)
}
