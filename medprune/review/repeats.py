"""What a review repeats from the start: out of fold, and with each site left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from medprune.cohort import Cohort, Split
from medprune.errors import BadInput
from medprune.review.floor import is_trainable, schedule_of
from medprune.review.gate import NOT_ASSESSABLE
from medprune.review.groups import Cut
from medprune.review.pooled import PooledStep, Procedure, pooled_steps
from medprune.review.result import Review
from medprune.review.sites import SiteStep, leave_one_site_out_steps

UNWEIGHTED = "Sites are not weighted to the prevalence that the other figures are weighted to."


def pooled(made: Review, cohort: Cohort, how: Procedure | None, seed: int) -> Iterator[PooledStep]:
    """The steps of the out-of-fold estimates, where the reviewed patients are too few to assess."""
    if how is not None and how.folds and made.checks[0].state == NOT_ASSESSABLE:
        yield from pooled_steps(
            made.dense_model, cohort, how, made.act_at, prevalence=made.prevalence, seed=seed
        )


def sites(
    made: Review, cohort: Cohort, site: str | None, how: Procedure | None, seed: int
) -> Iterator[SiteStep]:
    """The steps of leaving out each site of a column, where one is named. BadInput when nothing can be
    repeated."""
    if site is None:
        return
    if how is None or not is_trainable(made.dense_model, cohort):
        raise BadInput(
            "Leaving out a site trains and prunes anew, and how this model came about is not on record; do "
            "without the sites."
        )
    for step in leave_one_site_out_steps(
        made.dense_model,
        _with_site(cohort, site),
        site,
        sparsity=how.sparsity,
        strategy=how.strategy,
        granularity=how.granularity,
        schedule=schedule_of(made.dense_model),
        act_at=made.act_at,
        seed=seed,
        **how.settings,
    ):
        yield step if made.prevalence is None else _told_unweighted(step)


def _told_unweighted(step: SiteStep) -> SiteStep:
    """Figures by site are of its patients as they are, whatever the others are weighted to: they say so."""
    if step.review is None:
        return step
    return replace(step, review=replace(step.review, notes=(*step.review.notes, UNWEIGHTED)))


def _with_site(cohort: Cohort, site: str) -> Cohort:
    """The cohort with this column among its subgroups, where it is a feature."""
    train, tuning, test = (with_columns(each, (site,)) for each in (cohort.train, cohort.tuning, cohort.test))
    return replace(cohort, train=train, tuning=tuning, test=test)


def with_columns(split: Split, chosen: Sequence[str | Cut] | None) -> Split:
    """The split, where columns that the model reads can be chosen as subgroups too."""
    if chosen is None:
        return split
    more = [name for name in split.frame.columns if name not in split.subgroups.columns]
    return replace(split, subgroups=pd.concat([split.subgroups, split.frame[more]], axis=1))
