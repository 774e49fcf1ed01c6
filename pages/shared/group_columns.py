"""The columns that patients can be grouped by: any of the table, whether a model reads it or not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medprune import Cohort, Split
from medprune.errors import BadInput
from medprune.intake.columns import typed, unfit
from medprune.intake.roles import LOOKED_AT
from medprune.review.groups import Cut, groups_of
from medprune.review.repeats import with_columns as as_groups
from medprune.review.sites import MOST_SITES, site_names
from pages.shared.session import Study

TWO = 2  # sites at least


@dataclass(frozen=True)
class Column:
    """What patients can be grouped by: whether it holds numbers, and how many different ones or labels."""

    name: str
    is_number: bool
    different: int


def offered(study: Study) -> tuple[Column, ...]:
    """Columns whose groups can be looked at, those that the model could read first.

    Never the outcome, the patient column, the follow-up time, nor what names patients or could be no feature
    for another reason; what was left out by hand is offered, as a model that does not read a column may still
    do otherwise for those whom it tells apart. Judged on the first rows, once a table and its columns.
    """
    cohort = study.cohort
    known = study.groupable
    if known is None or known[0] != (cohort.table_hash, cohort.exclude, cohort.patient):
        study.groupable = known = ((cohort.table_hash, cohort.exclude, cohort.patient), _found(study))
    return known[1]


def _found(study: Study) -> tuple[Column, ...]:
    cohort, frame = study.cohort, study.table.frame.head(LOOKED_AT)
    time = None if cohort.follow_up is None else cohort.follow_up.time
    never = {cohort.outcome, cohort.patient, time, *dict(cohort.kept_out)}
    features = [feature.name for feature in cohort.features]
    by_hand = [name for name in map(str, frame.columns) if name in cohort.exclude]
    first = [str(name) for name in frame.columns]
    found = []
    for name in dict.fromkeys([*features, *by_hand, *first]):
        if name in never or name not in first:
            continue
        column = typed(frame.iloc[:, first.index(name)], name)
        if name in features or unfit(column, np.ones(len(frame), dtype=np.bool_)) is None:
            found.append(Column(name, column.kind == "number", int(column.values.nunique())))
    return tuple(found)


def sites(study: Study) -> list[str]:
    """Columns that may tell the site: labels or codes of a few."""
    return [each.name for each in offered(study) if TWO <= each.different <= MOST_SITES]


def column_of(chosen: str | Cut) -> str:
    return chosen.column if isinstance(chosen, Cut) else chosen


def cut(name: str, text: str) -> str | Cut:
    """A column, cut where the text says: "40, 65", or the same after the column's name and a colon; blank:
    as usual. Raises BadInput."""
    values = text.strip().removeprefix(f"{name}:").strip()
    if not values:
        return name
    if ":" in values:
        raise BadInput(f"{name!r} should be cut at numbers that rise, such as 40, 65.")
    return Cut.parsed(f"{name}:{values}")


def cut_text(chosen: str | Cut) -> str:
    """What was typed for it."""
    return ", ".join(f"{value:g}" for value in chosen.at) if isinstance(chosen, Cut) else ""


def told(chosen: str | Cut) -> str:
    """A chosen column in words."""
    at = cut_text(chosen)
    return f"{column_of(chosen)} (cut at {at})" if at else column_of(chosen)


def with_columns(study: Study, names: tuple[str, ...]) -> Cohort:
    """The cohort with these columns among its subgroups: read again from the table by the same choices, and
    matched by the number of the row. Features need no reading again. Raises BadInput."""
    cohort = study.cohort
    read = {feature.name for feature in cohort.features}
    more = [name for name in names if name not in read and name not in cohort.test.subgroups.columns]
    if not more:
        return cohort
    everyone = study.table.again(cohort, subgroups=more, survey=True).all()
    return replace(
        cohort,
        **{name: _matched(getattr(cohort, name), everyone, more) for name in ("train", "tuning", "test")},
    )


def check(cohort: Cohort, chosen: tuple[str | Cut, ...], site: str | None) -> None:
    """Whether these groups and sites can be made at all, told by train patients before anybody else is
    opened. Raises BadInput."""
    groups_of(as_groups(cohort.train, chosen), chosen, pairs=False)
    if site is None:
        return
    split = as_groups(cohort.train, (site,))
    if len({name for name in site_names(split, site) if name is not None}) < TWO:
        raise BadInput(f"{site!r} tells fewer than two sites; choose the column that tells the hospital.")


def _matched(split: Split, everyone: Split, more: list[str]) -> Split:
    """The split with the columns of the same rows."""
    places = pd.Index(everyone.rows).get_indexer(pd.Index(split.rows))
    if (places < 0).any():
        raise BadInput("The table holds other rows than the patients in use; choose the patients again.")
    columns = everyone.subgroups[more].iloc[places].reset_index(drop=True)
    return replace(split, subgroups=pd.concat([split.subgroups, columns], axis=1))
