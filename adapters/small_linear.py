"""The first weights of a linear layer that belongs to one environment."""

from torch import nn


def small_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights of standard deviation 0.02 and a bias of zero, as GPT-2 starts its layers."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
