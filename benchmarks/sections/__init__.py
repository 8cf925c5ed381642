"""The sections, by name, in the order of the table."""

from benchmarks.sections import decoding, environment_steps, huggingface, memory, sampling, training

SECTIONS = {
    module.__name__.rpartition(".")[2]: module
    for module in (training, memory, huggingface, environment_steps, decoding, sampling)
}
