"""``medprune review``: what the smaller model of a bundle does to test patients, put into the bundle."""

from __future__ import annotations

from argparse import Namespace as Options

from medprune.bundle import Bundle, add_review, load_bundle
from medprune.errors import BadInput
from medprune.intake.table_file import opened
from medprune.model import RiskModel
from medprune.model_file import fingerprint
from medprune.report import About, read_about
from medprune.review import Override, Review, read_limits, review_steps
from medprune.review.evidence import locked_limits
from medprune.review.groups import Cut
from medprune.sources import choices_of, cohort_and_model
from medprune.verbs import Answer, progress, tell

MOST_REFITS = 1_000


def review(options: Options) -> Answer:
    """Review the bundle's model against the dense one on test patients, or on all of an external table."""
    given = None if options.margins is None else read_limits(options.margins)
    override, about = _override(options), About() if options.about is None else read_about(options.about)
    if not 0 <= options.refits <= MOST_REFITS:
        raise BadInput(f"The retrainings must lie in [0, {MOST_REFITS:,}], got {options.refits}.")
    bundle = load_bundle(options.bundle)
    options.model, options.subgroups = options.dense, _columns(options)
    cohort, dense = cohort_and_model(options)
    _check_parent(bundle, dense)
    tell(options, cohort.notes)
    steps = review_steps(
        dense,
        bundle,
        cohort.test,
        act_at=bundle.model.act_at if options.act_at is None else options.act_at,
        subgroups=tuple(options.subgroup),
        cohort=None if options.external else cohort,
        limits=locked_limits(bundle.provenance) if given is None else given,
        prevalence=options.prevalence,
        refits=options.refits,
        confirmed=tuple(options.confirm),
        site=options.site,
        seed=options.seed,
    )
    *_, last = progress(steps, "reviewing", options, lambda step: (step.number, step.of))
    assert last.review is not None
    found = last.review.overridden(override)
    kept = add_review(bundle, found, about)
    return found.to_json() | {"bundle": str(kept.folder)}, told(found, kept)


def told(found: Review, bundle: Bundle) -> str:
    """The gate in words, and every check that does not pass."""
    wrong = [f"{check.id} {check.state}: {check.sentence}" for check in found.checks if check.state != "pass"]
    change = next(check for check in found.checks if check.id == "G4")
    by = found.override
    over = "" if by is None else f" Overridden by {by.name} until {by.expires}: {by.reason}."
    return (
        f"Gate: {found.gate}, on {found.split.told()}, acting at a risk of {found.act_at:.0%}. "
        f"{' '.join([*([change.sentence] if change.state == 'pass' else []), *wrong])}{over} "
        f"Review, card and report are in {bundle.folder}."
    ).replace("  ", " ")


def _columns(options: Options) -> tuple[str, ...]:
    """The columns of the subgroups, without their cut-points, and of the site."""
    if not options.subgroup and options.site is None:
        return ()
    frame, _ = opened(options.data, choices_of(options))
    names = [str(name) for name in frame.columns]
    chosen = [Cut.parsed(text, names).column for text in options.subgroup]
    return tuple(dict.fromkeys([*chosen, *([] if options.site is None else [options.site])]))


def _override(options: Options) -> Override | None:
    given = (options.override, options.override_reason, options.override_until)
    if all(each is None for each in given):
        return None
    if any(each is None for each in given):
        raise BadInput(
            "An override takes who, why and until when: give --override NAME, --override-reason TEXT and "
            "--override-until DATE."
        )
    return Override.read(*given)


def _check_parent(bundle: Bundle, dense: RiskModel) -> None:
    """BadInput when the bundle came from another dense model than the one it is held against."""
    parent = bundle.model.origin.parent
    if parent is not None and parent != fingerprint(dense):
        raise BadInput(
            "The bundle was pruned from another model than --dense; give the model file that `prune --model` "
            "was given, or the same training again."
        )
