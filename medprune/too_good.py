"""An AUROC that is too good to be true is called out, not celebrated."""

from __future__ import annotations

from medprune.cohort import Cohort
from medprune.errors import listed
from medprune.performance import Performance

SUSPECT = 0.97  # clinical models of what is not known yet hardly ever reach this
NEARLY = 0.03  # below the model: such a column alone nearly does it
STRONG = 0.85
MOST = 3


def too_good(performance: Performance | float, cohort: Cohort, features: tuple[str, ...] = ()) -> str:
    """A sentence when the AUROC is hardly credible, naming the columns behind it; else the empty string.

    ``features`` are the columns that the model reads (all of the cohort's, when empty).
    """
    auroc = performance if isinstance(performance, float) else performance.auroc
    if not auroc >= SUSPECT:
        return ""
    alone = [(name, value) for name, value in cohort.quality.alone if not features or name in features]
    nearly = [(name, value) for name, value in alone if value >= auroc - NEARLY]
    flagged = _flagged(cohort, dict(alone))
    opening = f"An AUROC of {auroc:.3f} is too good to be true for most clinical questions. "
    if nearly:
        name, value = nearly[0]
        more = f" (so do {listed([n for n, _ in nearly[1:]], most=MOST)})" if nearly[1:] else ""
        why = f"{name!r} alone nearly reaches it (AUROC {value:.3f}){more}: "
    elif flagged:
        why = f"The columns {listed(flagged, most=2 * MOST)} may be known only after the outcome: "
    else:
        strong = [f"{name!r} ({value:.2f})" for name, value in alone[:MOST] if value >= STRONG]
        why = "No column reaches it alone" + (
            f"; the strongest are {', '.join(strong)}: " if strong else ": "
        )
    return (
        f"{opening}{why}find out whether what the model reads is known before the outcome, and whether the "
        "outcome was defined by it, before anybody trusts this model."
    )


def _flagged(cohort: Cohort, used: dict[str, float]) -> list[str]:
    """Columns in use that the quality report holds for leaks."""
    found = [p.columns or (p.column,) for p in cohort.quality.problems if p.kind == "leakage"]
    return list(dict.fromkeys(name for names in found for name in names if name in used))
