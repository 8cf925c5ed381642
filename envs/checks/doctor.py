"""Checking a local Minari dataset before training: `transfer data check ID`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from transfer.data.environment.observations import summary
from transfer.envs.checks import adroit_checks, antmaze_checks, environment_checks, file_checks, value_checks
from transfer.envs.checks.findings import SEVERITIES, Finding
from transfer.envs.checks.survey import Data, survey

_MODULES = (file_checks, value_checks, environment_checks, antmaze_checks, adroit_checks)
_CHECKS = {check.__name__.replace("_", "-"): check for module in _MODULES for check in module.CHECKS}
CODES = {code: (check.__doc__ or "").partition("\n")[0] for code, check in _CHECKS.items()}  # with what they mean


@dataclass(frozen=True)
class Checkup:
    """The result of checking a dataset.

    Attributes:
        dataset_id: a Minari id.
        facts: plain values, None if not known.
        findings: errors first.
    """

    dataset_id: str
    facts: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> bool:
        """Whether results with this dataset would be wrong."""
        return any(one.severity == "error" for one in self.findings)

    def count(self, severity: str) -> int:
        """Number of findings of a severity."""
        return sum(one.severity == severity for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for a JSON file."""
        return {"dataset_id": self.dataset_id, "wrong": self.wrong, **asdict(self)}


def check_dataset(dataset_id: str, env: Any = None, trust: bool = False) -> Checkup:
    """Reads a dataset once and runs all checks.

    Args:
        dataset_id: a Minari id on this machine, or a bundled name of one dataset ("hopper/expert").
        env: the environment to evaluate in, in place of the metadata's; see `load_episodes`.
        trust: import and call whatever the metadata name; see `transfer.data.environment.building.trust`.

    Raises:
        TransferError: an unknown name, a dataset that is not on this machine, or files that cannot be read.
    """
    with np.errstate(all="ignore"):  # values that are not finite are a finding
        data = survey(dataset_id, env, trust)
        findings = [Finding(code, *found) for code, check in _CHECKS.items() for found in check(data)]
        findings.sort(key=lambda one: SEVERITIES.index(one.severity))
        return Checkup(data.dataset_id, _facts(data), tuple(findings))


def _facts(data: Data) -> dict[str, Any]:
    spec, returns = data.spec, data.returns[np.isfinite(data.returns)]
    scores = spec.reference.score(returns) if spec else np.zeros(0)
    return {
        "environment": data.gym_id or None,
        "name": data.known.name if data.known else None,
        "episodes": len(data.episodes),
        "steps": int(data.steps.sum()),
        "shortest": int(data.steps.min()) if data.episodes else None,
        "longest": int(data.steps.max()) if data.episodes else None,
        "step_limit": data.limit,
        "state": summary(data.layout.slices) if data.layout.slices else None,
        "action_size": len(data.layout.low) or None,
        "mean_return": float(returns.mean()) if len(returns) else None,
        "std_return": float(returns.std()) if len(returns) else None,
        "min_return": float(returns.min()) if len(returns) else None,
        "max_return": float(returns.max()) if len(returns) else None,
        "mean_score": float(scores.mean()) if len(scores) else None,
        "reference": spec.reference.table if spec else None,
        "success_rate": float(np.mean(data.successes)) if data.successes else None,
    }


def as_text(checkup: Checkup) -> str:
    """Returns the report as plain text: the facts, one line per finding, and the verdict."""
    wide = max((len(one.code) for one in checkup.findings), default=0)
    lines = [
        f"{one.code:{wide}}  {one.severity:7}  {one.message.rstrip('.')}. {one.advice}" for one in checkup.findings
    ]
    counts = ", ".join(f"{checkup.count(one)} {one}{'' if checkup.count(one) == 1 else 's'}" for one in SEVERITIES)
    verdict = "results would be wrong" if checkup.wrong else "nothing that makes results wrong"
    head = [checkup.dataset_id, *_facts_lines(checkup.facts)]
    return "\n".join([*head, "", *lines, *[""] * bool(lines), f"{counts}: {verdict}"])


def _facts_lines(facts: dict[str, Any]) -> list[str]:
    """The facts in up to four lines."""
    lines = [f"  environment  {facts['environment'] or 'none'}" + (f" ({facts['name']})" if facts["name"] else "")]
    if facts["step_limit"]:
        lines[0] += f", {facts['step_limit']} steps at most"
    actions = f"{facts['action_size']} numbers" if facts["action_size"] else "not supported"
    lines.append(f"  states       {facts['state'] or 'not supported'}; actions {actions}")
    if facts["steps"]:
        lines.append(
            f"  episodes     {facts['episodes']:,} of {facts['shortest']:,} to {facts['longest']:,} steps, "
            f"{facts['steps']:,} in all"
        )
    if facts["mean_return"] is not None:
        score = "" if facts["mean_score"] is None else f"; score {facts['mean_score']:.1f} ({facts['reference']})"
        success = "" if facts["success_rate"] is None else f"; success {100 * facts['success_rate']:.1f} %"
        lines.append(
            f"  return       {facts['mean_return']:.1f} ± {facts['std_return']:.1f}, {facts['min_return']:.1f} to "
            f"{facts['max_return']:.1f}{score}{success}"
        )
    return lines
