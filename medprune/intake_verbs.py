"""``medprune inspect`` and ``converter``: what comes before there is a model of ours."""

from __future__ import annotations

import shlex
from argparse import Namespace as Options
from collections.abc import Sequence
from importlib import resources

from medprune.quality import WHY_RESAMPLING_HARMS
from medprune.sources import cohort_of
from medprune.table_one import table_one
from medprune.verbs import Answer, tell

MOST_OFFERED = 3  # treatments of one finding that are written out


def inspect(options: Options) -> Answer:
    cohort = cohort_of(options, survey=True)
    report = cohort.quality
    if options.json:
        tell(options, cohort.notes)
    lines = [
        f"{report.rows} rows, {report.columns} columns; outcome {cohort.outcome}: "
        f"{', '.join(cohort.classes)}."
    ]
    lines += [f"- {note}" for note in cohort.notes]
    told: set[str] = set()
    for problem in report.problems:
        lines += [
            f"- {problem.message if problem.why in told else problem.told}",
            *_offered(problem.remedies),
        ]
        told.add(problem.why)
    if report.suggested:
        lines.append("`--treat suggested` takes the treatments that are plainly called for, and says which.")
    if any(problem.kind == "imbalance" for problem in report.problems):
        lines.append(WHY_RESAMPLING_HARMS)
    value = report.to_json() | {"treated": list(cohort.treatments)}
    if cohort.follow_up is not None:
        value["follow_up"] = cohort.follow_up.to_json()
    if options.table_one:
        table = table_one(cohort)
        value["table_one"] = table.to_dict(orient="records")
        lines.append(table.to_string(index=False))
    return value, "\n".join(lines)


def _offered(remedies: Sequence[str]) -> list[str]:
    """What can be done about a finding, a line each; of many like ones, the first."""
    lines = [f"    --treat {shlex.quote(each)}" for each in remedies[:MOST_OFFERED]]
    more = len(remedies) - len(lines)
    return lines + ([f"    and {more} more, see --json"] if more else [])


def converter(options: Options) -> Answer:
    """The script for the user's own machine; here nothing is converted, because that would run code."""
    place = resources.files("medprune").joinpath("templates", "convert.py.txt")
    script = place.read_text(encoding="utf-8").rstrip()
    return {"script": script}, script
