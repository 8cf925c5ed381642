"""Train a behaviour policy from scratch with SAC (sbx) and keep a checkpoint every 25,000 steps.

pip install sbx-rl "gymnasium[mujoco]"
python train.py Hopper-v5 --steps 1000000 --seed 0 --out checkpoints/hopper
"""

import pathlib

import click
import gymnasium as gym
import numpy as np
from sbx import SAC
from stable_baselines3.common.callbacks import BaseCallback


class Checkpoints(BaseCallback):
    """Evaluates the mean policy on 5 episodes and saves it, every `every` steps."""

    def __init__(self, env_id: str, out: pathlib.Path, every: int = 25_000) -> None:
        super().__init__()
        self.env, self.out, self.every = gym.make(env_id), out, every

    def _episode(self, seed: int) -> float:
        obs, _ = self.env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action, _ = self.model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = self.env.step(action)
            total, over = total + float(reward), terminated or truncated
        return total

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            returns = [self._episode(1000 + i) for i in range(5)]
            self.model.save(self.out / f"{self.num_timesteps}")
            click.echo(f"{self.num_timesteps} {np.mean(returns):.0f} +- {np.std(returns):.0f}")
        return True


@click.command()
@click.argument("env_id")
@click.option("--steps", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=pathlib.Path), required=True)
def main(env_id: str, steps: int, seed: int, out: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = SAC("MlpPolicy", gym.make(env_id), learning_starts=10_000, seed=seed)
    model.learn(steps, callback=Checkpoints(env_id, out))


if __name__ == "__main__":
    main()
