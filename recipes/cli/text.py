"""Facts as text for a terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.recipes.reports.escaping import plain
from transfer.recipes.settings.presets import preset_text, presets
from transfer.recipes.watching.part_table import file_size, part_lines

SHOWN = 20
"""Labels of the runs of a matrix that are listed."""


def summary_text(facts: Mapping[str, Any]) -> str:
    """The result of `transfer.recipes.programs.show.summary` as text."""
    if facts["kind"] == "settings":
        lines = _settings_lines(facts)
    elif facts["kind"] == "sources":
        blocks = [_model_lines(facts["trunk"])] if "trunk" in facts else []
        blocks += [[name, *summary_text(one).splitlines()] for name, one in facts["sources"].items()]
        lines = [line for block in blocks for line in (*block, "")][:-1]
    elif facts["kind"] in ("run", "results"):
        lines = _run_lines(facts)
    elif facts["kind"] == "cell":
        blocks = [_model_lines(facts[name]) for name in ("trunk", "adapter", "mlp") if name in facts]
        blocks += [[f"result       {_outcome(facts['results'])}"]] if "results" in facts else []
        blocks += [[facts["next"]]] if "next" in facts else []
        lines = [line for block in blocks for line in (*block, "")][:-1]
    else:
        lines = _model_lines(facts)
    return "\n".join(map(plain, lines))


def _settings_lines(facts: Mapping[str, Any]) -> list[str]:
    """Settings as TOML; a comment behind a value says what it is in the base settings, where it differs."""
    extends = "".join(f", which extends {name}" for name in facts["extends"])
    lines = [f"# {facts['path']}{extends}"]
    for name, values in facts["settings"].items():
        for table in values if isinstance(values, list) else [values]:
            lines += ["", f"[[{name}]]  # base: one, without data" if isinstance(values, list) else f"[{name}]"]
            parts = {key: value for key, value in table.items() if isinstance(value, Mapping) and key != "filter"}
            lines += [_setting(f"{name}.{key}", key, one, facts) for key, one in table.items() if key not in parts]
            for key, part in parts.items():
                lines += ["", f"[{name}.{key}]"]
                lines += [_setting(f"{name}.{key}.{option}", option, one, facts) for option, one in part.items()]
    return [*lines, "", *_runs_lines(facts)] if "counts" in facts else lines


def _runs_lines(facts: Mapping[str, Any]) -> list[str]:
    """What a `[matrix]` means, as comments."""
    number, labels = facts["counts"], facts["runs"]
    cells = number["trunks"] + number["adaptations"]
    lines = [
        f"# {number['runs']:,} runs, {cells:,} cells: {number['trunks']:,} trunks and {number['adaptations']:,} "
        "adaptations. Cells that several runs have in common are trained once."
    ]
    rest = [f"# and {len(labels) - SHOWN:,} more"] if len(labels) > SHOWN else []
    return lines + [f"#   {label}" for label in labels[:SHOWN]] + rest


def _setting(dotted: str, key: str, value: Any, facts: Mapping[str, Any]) -> str:
    """One line, with what the base settings say where they differ."""
    line, base = f"{json.dumps(key) if '.' in key else key} = {_literal(value)}", facts["base"]
    if dotted not in base:
        return line
    return f"{line}  # base: {'none' if base[dotted] is None else _literal(base[dotted])}"


def _literal(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_literal(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _model_lines(facts: Mapping[str, Any]) -> list[str]:
    """A trunk, an adapter or an MLP."""
    from transfer.data.measured.calibration_table import Calibration

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
            lines.append(f"calibration  {Calibration.from_json(facts['calibration'])}")
    lines.append(f"made of      {', '.join(f'{key} {value}' for key, value in facts['config'].items())}")
    trainable = facts["trainable"]
    lines += ["", *part_lines(facts, facts["numbers"]), ""]
    lines += [f"trainable    {trainable if isinstance(trainable, str) else ', '.join(trainable)}"]
    lines += [f"{key:<12} {value}" for key, value in facts["record"].items() if not isinstance(value, dict | list)]
    return lines


def _run_lines(facts: Mapping[str, Any]) -> list[str]:
    """A run: its trunks, then a line per finished MODE/SEED."""
    lines = [f"{facts['kind']:<12} {facts['path']}"]
    for name, trunk in facts["trunks"].items():
        lines.append(f"{name:<12} {trunk['numbers']:,} parameters, {file_size(trunk['bytes'])}, {trunk['fingerprint']}")
    width = max((len(name) for name in facts["cells"]), default=0)
    for name, cell in facts["cells"].items():
        size = f", adapter {file_size(cell['adapter_bytes'])}" if "adapter_bytes" in cell else ""
        lines.append(f"{name:<{width}}  {_outcome(cell)}{size}")
    if facts["trained"]:
        lines.append(f"trained, stopped before the evaluation: {', '.join(facts['trained'])}")
    if rest := [name for name in facts["unfinished"] if name not in facts["trained"]]:
        lines.append(f"not finished {', '.join(rest)}")
    return [*lines, facts["next"]] if "next" in facts else lines


def _outcome(cell: Mapping[str, Any]) -> str:
    """The outcome of one cell in a line."""
    trunk = {True: "trunk unchanged", False: "TRUNK CHANGED", None: "no frozen trunk"}[cell["trunk_unchanged"]]
    ran = f", tuning {cell['tuning']}" if cell["tuning"] else ""
    source = f", takes over from {cell['source']['name']}" if cell["source"] else ""
    return (
        f"{cell['environment']} {_success(cell)}score {cell['mean_score']:.1f} ({cell['table']}), "
        f"return {cell['mean_return']:.0f}, "
        f"trained {cell['trained']:,} ({100 * cell['share']:.1f} %), {trunk}{ran}{source}"
    )


def _success(entry: Mapping[str, Any]) -> str:
    """The success rate with a comma, "" where the environment tells none."""
    rate = entry.get("success_rate")
    return "" if rate is None else f"success {rate:.2f}, "


def evaluation_text(result: Mapping[str, Any]) -> str:
    """One line per entry of what `transfer.recipes.programs.evaluate_path.evaluate_paths` returns."""
    lines = [
        f"{entry['path']}: {_asked(entry)}{entry['decode']}: "
        f"{_success(entry)}score {entry['mean_score']:.1f}, return {entry['mean_return']:.0f}, "
        f"length {entry['mean_length']:.0f}, {len(entry['returns'])} episodes"
        for entry in result["evaluations"]
    ]
    return "\n".join(map(plain, lines))


def _asked(entry: Mapping[str, Any]) -> str:
    """What a policy was asked for, each with a comma."""
    words = [f"{name} {value:g}" for name, value in (entry.get("asked") or {}).items() if name != "return"]
    if entry["target_return"] is not None:
        words.insert(0, f"target {entry['target_return']:.0f} (score {entry['target_score']:.1f})")
    return "".join(f"{one}, " for one in words)


def listing(runs_dir: Path) -> str:
    """Recipes, environments, datasets, and the runs, trunks and adapters under a folder."""
    from transfer.envs.catalog import ENVIRONMENTS, known_environment
    from transfer.recipes.cli.data_commands import data_lines

    lines = ["Recipes (transfer run NAME):"]
    lines += [f"  {name:<28} {preset_text(name).splitlines()[0].lstrip('# ')}" for name in presets()]
    lines += ["", "Environments:"]
    for name in ENVIRONMENTS:
        known = known_environment(name)
        sizes = f"state {known.state_size}, action {known.action_size}, {known.max_episode_steps} steps"
        tables = " and ".join(one.table for one in known.references) or "the dataset's own returns, and success"
        lines.append(f"  {name:<22} {known.gym_id}, {sizes}, scores by {tables}")
    lines += ["", *data_lines(), "", f"Runs, results and adapters in {runs_dir} (transfer show PATH):"]
    files = [path for name in ("config.toml", "cells.csv", "adapter.json") for path in sorted(runs_dir.rglob(name))]
    # A name that begins with a dot is half a folder, of a run that was killed while it wrote.
    whole = dict.fromkeys(f"  {path.parent}" for path in files if not path.parent.name.startswith("."))
    return "\n".join(map(plain, [*lines, *(whole or ["  none yet: transfer run hopper-to-walker2d --quick"])]))
