"""Playing with the settings of a run, for probes and for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transfer.data.episodes import Episodes
from transfer.errors import TransferError
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.outcome import Evaluation
from transfer.models.acting import PolicyModel
from transfer.recipes.cells.run_cell import RunCell
from transfer.recipes.runs.folder import resume_command
from transfer.recipes.settings.sections import EvalConfig
from transfer.recipes.settings.target_names import Ask, of_data
from transfer.recipes.watching.boards import Logger


def play(
    model: PolicyModel,
    data: Episodes,
    settings: EvalConfig,
    ask: Ask,
    episodes: int,
    on_episode: Callable[[int], None] | None = None,
) -> Evaluation:
    """Play some episodes; a return that is asked for by name is measured on `data`."""
    return evaluate(
        model,
        num_episodes=episodes,
        ask=of_data(ask, data, model.statistics),
        num_envs=settings.envs,
        decode=settings.decode,
        on_episode=on_episode,
    )


def log_evaluation(board: Logger, step: int, result: Evaluation) -> None:
    """Log the means of an evaluation at a training step."""
    home = f"eval/{result.env_spec.name}"
    means = {"score": result.scores, "return": result.returns, "length": result.lengths}
    values = {f"{home}/{name}": float(one.mean()) for name, one in means.items()}
    if result.success_rate is not None:
        values[f"{home}/success"] = result.success_rate
    board.scalars(step, values)
    board.flush()


@contextmanager
def kept(cell: RunCell, what: str = "what was trained") -> Iterator[None]:
    """Add to an error of the episodes inside what is kept of the training, and the command that goes on."""
    try:
        yield
    except TransferError as error:
        raise TransferError(
            f"{error}\n{cell.title}: {what} is kept in {cell.home}. Go on with {resume_command(cell.run)}"
        ) from error
