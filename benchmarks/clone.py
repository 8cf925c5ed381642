"""Can a policy be cloned whatever the bounds of its actions? `python -m benchmarks.clone`, a few minutes on one core.

Pendulum-v1 (torques of ±2) is recorded while a controller that knows its energy plays it, and cloned; then the same
with the torque rescaled to [0, 1] and to [-0.4, 0.4]. Behaviour and clone play the same 100 episodes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import click
import gymnasium
import numpy as np
from numpy.typing import NDArray

from transfer import Episodes, Recorder, TrainConfig, evaluate, pretrain
from transfer.models.steps.adapter_config import AdapterConfig
from transfer.models.trunk import TrunkConfig

PLAYED = 10_000  # seed of the first episode that is played; `evaluate` begins there too
BOUNDS = {"pendulum": (-2.0, 2.0), "unit": (0.0, 1.0), "narrow": (-0.4, 0.4)}
TRUNK = TrunkConfig(width=64, depth=2, heads=2, dropout=0.0)
ADAPTER = AdapterConfig(state="mlp", action="ActionEmbedding")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    bounds: tuple[float, float]
    behaviour: float
    clone: float
    loss: float
    seconds: float


def controller(observation: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Pumps energy in until the pole can come up, then holds it; the torque of ±2 is scaled to the bounds."""
    cosine, sine, velocity = observation
    energy = velocity**2 / 2 + 15.0 * (cosine - 1.0)  # 0 when it just comes to rest upright
    pump, hold = -0.5 * energy * velocity, -10.0 * math.atan2(sine, cosine) - 2.0 * velocity
    near = 1.0 / (1.0 + math.exp(-40.0 * (cosine - 0.85)))  # a smooth change from one to the other can be learned
    torque = near * np.clip(hold, -2.0, 2.0) + (1.0 - near) * np.clip(pump, -2.0, 2.0)
    return np.array([low + (torque + 2.0) / 4.0 * (high - low)], dtype=np.float32)


def make(low: float, high: float) -> gymnasium.Env[Any, Any]:
    """Pendulum-v1 with its torque between these bounds."""
    env = gymnasium.make("Pendulum-v1")
    return env if (low, high) == BOUNDS["pendulum"] else gymnasium.wrappers.RescaleAction(env, low, high)


def play(env: gymnasium.Env[Any, Any], bounds: tuple[float, float], episodes: int, first_seed: int) -> float:
    """Mean return of the controller."""
    total = 0.0
    for seed in range(first_seed, first_seed + episodes):
        observation, over = env.reset(seed=seed)[0], False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(controller(observation, *bounds))
            total, over = total + float(reward), terminated or truncated
    return total / episodes


def record(bounds: tuple[float, float], episodes: int) -> Episodes:
    """Episodes of the controller, in other seeds than those that are played."""
    with Recorder(make(*bounds)) as env:
        play(env, bounds, episodes, 0)
        return env.episodes()


def clone(bounds: tuple[float, float], recorded: int, played: int, config: TrainConfig) -> Row:
    """Records, trains and plays."""
    started = time.perf_counter()
    result = pretrain(record(bounds, recorded), config=config, trunk_config=TRUNK, adapter_config=ADAPTER)
    seconds = time.perf_counter() - started
    with make(*bounds) as env:
        behaviour = play(env, bounds, played, PLAYED)
    returns = evaluate(result.model, num_episodes=played).returns
    return Row(bounds, behaviour, float(returns.mean()), result.fit.final_loss, seconds)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| torque | behaviour | clone | difference | loss | seconds |", "|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        numbers = f"{row.behaviour:.1f} | {row.clone:.1f} | {row.clone - row.behaviour:+.1f}"
        lines.append(f"| {row.bounds[0]:g} to {row.bounds[1]:g} | {numbers} | {row.loss:.4f} | {row.seconds:.0f} |")
    return "\n".join(lines)


@click.command()
@click.option("--only", type=click.Choice(list(BOUNDS)), multiple=True, help="Which bounds.  [default: all]")
@click.option("--episodes", default=100, show_default=True, help="Recorded episodes of 200 steps.")
@click.option("--played", default=100, show_default=True, help="Played episodes.")
@click.option("--steps", default=1500, show_default=True, help="Training steps.")
@click.option("--batch-size", default=64, show_default=True, help="Windows a step.")
def main(only: tuple[str, ...], episodes: int, played: int, steps: int, batch_size: int) -> None:
    """Clone a controller in environments with other bounds than ±1, and compare returns."""
    import torch

    torch.set_num_threads(1)
    config = TrainConfig(steps=steps, batch_size=batch_size, lr=2e-3, context=10)
    rows = [clone(BOUNDS[name], episodes, played, config) for name in only or BOUNDS]
    click.echo(table(rows))


if __name__ == "__main__":
    main()
