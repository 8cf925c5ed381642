"""The lines of a results folder from the results.json and timing.json of a MODE/SEED."""

from transfer.recipes.reports.tables.result_lines import CalibrationLine, CellLine, CurveLine, EpisodeLine
from transfer.recipes.runs.results import Results, Timing


def cell_line(run: str, results: Results, timing: Timing) -> CellLine:
    """The line of a cell of a run."""
    trained, trunk, scale = results.trained, results.trunk, results.reference
    return CellLine(
        run=run,
        mode=results.mode,
        seed=results.seed,
        environment=results.environment,
        dataset_ids=", ".join(results.dataset_ids),
        content_hash=results.content_hash,
        reference=scale.table,
        minimum=scale.minimum,
        maximum=scale.maximum,
        parameters=trained.numbers,
        parameters_total=trained.total,
        share=trained.share,
        bytes=trained.bytes,
        tensors=trained.tensors,
        parts=", ".join(f"{name} {part.numbers}" for name, part in trained.parts.items()),
        inherit=results.inherit,
        inherited=", ".join(results.inherited or ()),
        steps=results.steps,
        batch_size=results.batch_size,
        lr=results.lr,
        final_loss=results.final_loss,
        held_out_loss=None,
        frozen=trunk.frozen,
        trunk_pretrained=trunk.pretrained,
        trunk_before=trunk.before,
        trunk_after=trunk.after,
        trunk_unchanged=trunk.unchanged,
        train_seconds=timing.train_seconds,
        resumed_at_step=timing.resumed_at_step,
        eval_seconds=timing.eval_seconds,
        tokens_per_second=timing.tokens_per_second,
        peak_memory_bytes=timing.peak_memory_bytes,
        peak_gpu_bytes=timing.peak_gpu_bytes,
        device=timing.device,
        threads=timing.threads,
        processes=timing.processes,
        precision=timing.precision,
        kernels=timing.kernels,
        versions=", ".join(f"{name} {version}" for name, version in results.versions.items()),
    )


def episode_lines(run: str, results: Results) -> list[list[EpisodeLine]]:
    """The episodes of each evaluation of a cell."""
    return [
        [
            EpisodeLine(
                *(run, results.mode, results.seed, played.checkpoint, played.decode, played.target),
                *(played.target_return, seed, value, length, success),
            )
            for seed, value, length, success in zip(
                played.seeds,
                played.returns,
                played.lengths,
                played.successes or [None] * len(played.seeds),
                strict=True,
            )
        ]
        for played in results.evaluations
    ]


def probe_lines(run: str, results: Results) -> list[CurveLine]:
    """The probes of a cell."""
    return [
        CurveLine(run, results.mode, results.seed, probe.step, name, value)
        for probe in results.probes
        for name, value in (("probe/score", probe.mean_score), ("probe/episodes", probe.episodes))
    ]


def calibration_lines(run: str, results: Results) -> list[CalibrationLine]:
    """The calibration of a cell; none where there is none."""
    table = results.calibration
    if table is None:
        return []
    rates = table.success or (None,) * len(table.asked)
    return [
        CalibrationLine(run, results.mode, results.seed, asked, achieved, success, table.episodes)
        for asked, achieved, success in zip(table.asked, table.achieved, rates, strict=True)
    ]
