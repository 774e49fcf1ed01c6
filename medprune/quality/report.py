"""The quality report: every check in order, what it found in a sentence, why it matters, what can be done.

A message names columns, classes and counts; a value only when at least MANY rows share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medprune.errors import listed
from medprune.intake.columns import ALL_MISSING, BIRTH, IDENTIFIES, MIXES, ONE_VALUE, REPEATS
from medprune.quality.few_rows import few_rows
from medprune.quality.imbalance import imbalance, rare_classes
from medprune.quality.inconsistency import encoding, impossible, sentinel, spelling, unknown_word
from medprune.quality.leakage import after_outcome, late_dates, leakage, tells
from medprune.quality.missingness import missing, missing_by_outcome, missing_rows, missing_together
from medprune.quality.redundancy import collinear, duplicate, identical, repeated_patient
from medprune.quality.sentences import SENTENCES
from medprune.quality.sparsity import constant, rare_category
from medprune.quality.table import Finding, Table
from medprune.quality.units import mixed_units

KINDS = (
    "missing", "imbalance", "duplicate", "repeated_patient", "identical", "collinear", "constant",
    "rare_category", "sentinel", "impossible", "mixed_units", "encoding", "leakage", "identifier", "few_rows",
)  # fmt: skip
MOST_ALIKE = 10  # findings of one check that are told one by one; more become one sentence and a list
NAMED = 12  # of these, in the sentence

# Columns that were kept out of the features for one of these reasons are problems too, of this kind.
PROBLEM_OF = {
    ALL_MISSING: "missing",
    ONE_VALUE: "constant",
    IDENTIFIES: "identifier",
    BIRTH: "identifier",
    REPEATS: "repeated_patient",
    MIXES: "encoding",
}

# A check is called like its sentence; the sentence knows of which kind its problem is.
CHECKS: tuple[Callable[[Table], Iterator[Finding]], ...] = (
    few_rows, imbalance, rare_classes, repeated_patient, duplicate, leakage, tells, after_outcome, late_dates,
    missing, missing_rows, missing_together, missing_by_outcome, constant, identical, collinear,
    rare_category, spelling, unknown_word, encoding, sentinel, impossible, mixed_units,
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One finding: what and how many (``message``), and why it matters for pruning (``why``).

    ``count`` is of rows, or of what the message says. ``columns`` are those of a finding that many columns
    share, whose ``column`` is None. ``remedies`` are ids of treatments, see :mod:`medprune.treatments`;
    ``suggested`` are those among them that ``--treat suggested`` takes.
    """

    kind: str  # one of KINDS
    column: str | None
    count: int
    message: str
    why: str = ""
    columns: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What, how many, and why."""
        return f"{self.message} {self.why}".strip()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "column": self.column,
            "count": self.count,
            "message": self.message,
            "why": self.why,
            "columns": list(self.columns),
            "treatments": list(self.remedies),
            "suggested": list(self.suggested),
        }


@dataclass(frozen=True)
class QualityReport:
    """The size of the table as it was given, and its problems in the order of the checks.

    ``sampled`` is the number of rows that the checks of correlation, of patterns and of leakage looked at,
    where that was not all. ``alone`` is the largest AUROC that each column reaches by itself.
    """

    rows: int
    columns: int
    problems: tuple[Problem, ...]
    sampled: int | None = None
    alone: tuple[tuple[str, float], ...] = ()

    @property
    def suggested(self) -> tuple[str, ...]:
        """Ids of the treatments that are suggested, in order, each once."""
        return tuple(dict.fromkeys(remedy for problem in self.problems for remedy in problem.suggested))

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "columns": self.columns,
            "problems": [problem.to_json() for problem in self.problems],
            "sampled": self.sampled,
        }


def assess(table: Table, *, rows: int, columns: int) -> QualityReport:
    """Run every check. ``rows`` and ``columns`` are the size of the table before anything was left out."""
    found: list[Problem] = []
    for check in CHECKS:
        found += told(check.__name__, list(check(table)), len(table))
    for reason in PROBLEM_OF:
        names = [name for name, why in table.kept_out if why == reason]
        found += told(reason, [_kept_out(name, reason, table) for name in names], len(table))
    alone = tuple(sorted(table.alone.items(), key=lambda pair: -pair[1]))
    sampled = len(table.some) if len(table.some) < len(table) else None
    return QualityReport(rows, columns, tuple(found), sampled, alone)


def _kept_out(name: str, reason: str, table: Table) -> Finding:
    remedies = {
        REPEATS: (f"patient:{name}", f"one-row-per-patient:{name}"),
        MIXES: (f"text-missing:{name}", f"as-category:{name}", f"drop:{name}"),
    }.get(reason, ())
    patients, several = table.repeats.get(name, (len(table), len(table)))
    facts = {"reason": reason, "patients": patients}
    return Finding(name, several, facts, remedies, suggested=reason in (REPEATS, MIXES))


def told(sentence: str, findings: Sequence[Finding], rows: int) -> list[Problem]:
    """The findings of one check as problems; many alike become one."""
    if len(findings) > MOST_ALIKE and SENTENCES[sentence].many:
        return [_together(sentence, findings, rows)]
    return [_alone(sentence, finding, rows) for finding in findings]


def _alone(sentence: str, finding: Finding, rows: int) -> Problem:
    words = SENTENCES[sentence]
    counted = "1 row" if finding.count == 1 else f"{finding.count} rows"
    facts: dict[str, Any] = {
        "column": repr(finding.column),
        "count": finding.count,
        "rows": rows,
        "share": finding.count / max(rows, 1),
        "counted": counted,
    } | finding.facts
    if "names" in facts:
        facts["names"] = listed(facts["names"], most=NAMED)
    return Problem(
        kind=words.kind,
        column=finding.column,
        count=finding.count,
        message=words.one.format(**facts),
        why=words.why.format(**facts),
        remedies=finding.remedies,
        suggested=finding.remedies[:1] if finding.suggested else (),
    )


def _together(sentence: str, findings: Sequence[Finding], rows: int) -> Problem:
    """One problem of many findings; its count is of columns."""
    words = SENTENCES[sentence]
    names = tuple(dict.fromkeys(str(finding.column) for finding in findings))
    counts = [finding.count for finding in findings]
    facts = {
        "n": len(names),
        "names": listed(names, most=NAMED),
        "least": min(counts),
        "most": max(counts),
        "least_share": min(counts) / max(rows, 1),
        "most_share": max(counts) / max(rows, 1),
    }
    facts |= {key: value for key, value in findings[0].facts.items() if key not in facts}
    return Problem(
        kind=words.kind,
        column=None,
        count=len(names),
        message=words.many.format(**facts),
        why=words.why.format(**facts),
        columns=names,
        remedies=tuple(dict.fromkeys(remedy for finding in findings for remedy in finding.remedies)),
        suggested=tuple(finding.remedies[0] for finding in findings if finding.suggested),
    )
