"""Facts as text for a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer.recipes.reports.escaping import plain
from transfer.recipes.settings.presets import preset_text, presets

if TYPE_CHECKING:
    from transfer.models.freezing import Selection


def render(facts: Mapping[str, Any]) -> str:
    """What `describe` found, for a person."""
    from transfer.data.calibration_table import Calibration

    if facts["kind"] in ("run", "results"):
        return render_run(facts)
    if facts["kind"] == "cell":
        blocks = [render(facts[name]) for name in ("trunk", "adapter", "mlp") if name in facts]
        if "results" in facts:
            blocks.append(f"result       {plain(result_line(facts['results']))}")
        if "next" in facts:
            blocks.append(plain(facts["next"]))
        return "\n\n".join(blocks)
    lines = [f"{facts['kind']:<12} {facts['path']}", f"fingerprint  {facts['fingerprint']}"]
    if facts["kind"] == "adapter":
        lines.append(f"for trunk    {facts['trunk']}")
        lines.append(
            f"environment  {facts['environment']}: state {facts['state_size']}, action {facts['action_size']}; "
            f"scores by table {facts['table']}"
        )
        quantiles = ", ".join(f"{name} {value:.0f}" for name, value in facts["return_quantiles"].items())
        lines += [f"returns      {quantiles}"] if quantiles else []
        if facts["calibration"]:
            lines.append(f"asked->got   {Calibration.from_json(facts['calibration'])}")
    lines.append(f"made of      {', '.join(f'{key} {value}' for key, value in facts['config'].items())}")
    lines += ["", *part_lines(facts), ""]
    trainable = facts["trainable"]
    lines.append(f"trainable    {trainable if isinstance(trainable, str) else ', '.join(trainable)}")
    lines += [f"{key:<12} {value}" for key, value in facts["record"].items() if not isinstance(value, dict | list)]
    return "\n".join(map(plain, lines))


def part_lines(facts: Mapping[str, Any]) -> list[str]:
    """A table of parts with their numbers, bytes and tensors."""
    rows = [*facts["parts"].items(), ("together", facts)]
    lines = [f"{'part':<12} {'numbers':>12} {'size':>10} {'tensors':>8}"]
    for name, part in rows:
        lines.append(f"{name:<12} {part['numbers']:>12,} {file_size(part['bytes']):>10} {part['tensors']:>8}")
    return lines


def render_run(facts: Mapping[str, Any]) -> str:
    """A run: its trunks, then a line per finished MODE/SEED."""
    lines = [f"{facts['kind']:<12} {facts['path']}"]
    for name, trunk in facts["trunks"].items():
        lines.append(f"{name:<12} {trunk['numbers']:,} numbers, {file_size(trunk['bytes'])}, {trunk['fingerprint']}")
    width = max((len(name) for name in facts["cells"]), default=0)
    for name, cell in facts["cells"].items():
        size = f", adapter {file_size(cell['adapter_bytes'])}" if "adapter_bytes" in cell else ""
        lines.append(f"{name:<{width}}  {result_line(cell)}{size}")
    if facts["trained"]:
        lines.append(f"trained, stopped before the evaluation: {', '.join(facts['trained'])}")
    if rest := [name for name in facts["unfinished"] if name not in facts["trained"]]:
        lines.append(f"not finished {', '.join(rest)}")
    if "next" in facts:
        lines.append(facts["next"])
    return "\n".join(map(plain, lines))


def result_line(cell: Mapping[str, Any]) -> str:
    """One cell's outcome in a line."""
    trunk = {True: "trunk unchanged", False: "TRUNK CHANGED", None: "no frozen trunk"}[cell["trunk_unchanged"]]
    return (
        f"{cell['environment']} {success(cell)}score {cell['mean_score']:.1f} ({cell['table']}), "
        f"return {cell['mean_return']:.0f}, "
        f"trained {cell['trained']:,} ({100 * cell['share']:.1f} %), {trunk}"
    )


def success(entry: Mapping[str, Any]) -> str:
    """The success rate with a comma behind it, "" where the environment tells none."""
    rate = entry.get("success_rate")
    return "" if rate is None else f"success {rate:.2f}, "


def file_size(size: int) -> str:
    """Bytes as 512 B, 12.3 kB or 4.5 MB."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def render_evaluation(result: Mapping[str, Any]) -> str:
    """One line per target return of an evaluation."""
    entries: Sequence[Mapping[str, Any]] = result["evaluations"]
    lines = [
        f"{entry['path']}: asked {entry['target_return']:.0f} (score {entry['target_score']:.1f}), {entry['decode']}: "
        f"{success(entry)}score {entry['mean_score']:.1f}, return {entry['mean_return']:.0f}, "
        f"length {entry['mean_length']:.0f}, {len(entry['returns'])} episodes"
        for entry in entries
    ]
    return "\n".join(map(plain, lines))


def listing(runs_dir: Path) -> str:
    """Recipes, environments, datasets, and the runs, trunks and adapters under a folder."""
    from transfer.envs.catalog import ENVIRONMENTS, known_environment
    from transfer.recipes.cli.data_commands import data_lines

    lines = ["Recipes (transfer run NAME):"]
    lines += [f"  {name:<22} {preset_text(name).splitlines()[0].lstrip('# ')}" for name in presets()]
    lines += ["", "Environments:"]
    for name in ENVIRONMENTS:
        known = known_environment(name)
        sizes = f"state {known.state_size}, action {known.action_size}, {known.max_episode_steps} steps"
        tables = " and ".join(one.table for one in known.references) or "the dataset's own returns, and success"
        lines.append(f"  {name:<22} {known.gym_id}, {sizes}, scores by {tables}")
    lines += ["", *data_lines(), "", f"Runs and adapters in {runs_dir} (transfer show PATH):"]
    files = [path for name in ("config.toml", "adapter.json") for path in sorted(runs_dir.rglob(name))]
    # A name that begins with a dot is half a folder, of a run that was killed while it wrote.
    whole = [str(path.parent) for path in files if not path.parent.name.startswith(".")]
    found = whole or ["none yet: transfer run hopper-to-walker2d --quick"]
    return "\n".join(map(plain, [*lines, *(f"  {name}" for name in found)]))


def selection_table(title: str, selection: "Selection") -> str:
    """What is about to train: part, tensors, numbers, share of the model, bytes; last, what stays as it is."""
    lines = [f"{title} trains", f"{'part':<12} {'tensors':>8} {'numbers':>12} {'% of model':>11} {'size':>10}"]
    rows: dict[str, Any] = {**selection.parts, "together": selection}
    for name, part in rows.items():
        tensors = part.tensors if name != "together" else len(selection.names)
        share = 100 * part.numbers / selection.total
        lines.append(f"{name:<12} {tensors:>8} {part.numbers:>12,} {share:>11.1f} {file_size(part.bytes):>10}")
    frozen = selection.total - selection.numbers
    if frozen:
        lines.append(f"{'frozen':<12} {'':>8} {frozen:>12,} {100 * frozen / selection.total:>11.1f}")
    return "\n".join(lines)
