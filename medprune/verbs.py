"""What each verb of the shell does: its options go in, its JSON object and its sentence come out."""

from __future__ import annotations

import sys
from argparse import Namespace as Options
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from medprune.agreement import agreement
from medprune.bundle import check_target, load_bundle
from medprune.cohort import Cohort, Split
from medprune.cross_validation import CrossStep
from medprune.errors import BadInput, listed
from medprune.federated import site_sums
from medprune.flow import Choice, Job, measure, run, with_test_opened
from medprune.intake.large_table import LargeTable
from medprune.intake.table_file import opened
from medprune.large import SWEPT, LargePatients, in_batches, predict_large, score_large, sweep_large
from medprune.large.patients import Watch
from medprune.model import RiskModel
from medprune.model_file import save_model
from medprune.network import MLP, hidden_widths
from medprune.options import (
    check_one_of,
    check_rates_model,
    criterion_settings,
    prices_of,
    prune_settings,
    sums_floor,
    validation_of,
)
from medprune.performance import check_share
from medprune.ranking import SCOPES, USUAL_SCOPE
from medprune.review.limits import read_limits
from medprune.scoring import GRANULARITIES, Contributions, check_granularity
from medprune.scoring import score as score_model
from medprune.site_counts import Floor
from medprune.sources import acting, choices_of, cohort_and_model, cohort_of, large_and_model, large_table
from medprune.sums_file import load_scores, save_sums
from medprune.sweep import sweep as sweep_thresholds
from medprune.sweep import threshold_grid
from medprune.tables import check_place, csv_bytes, risks_to, write_whole
from medprune.too_good import too_good
from medprune.training import NONE, Schedule, train_steps

Answer = tuple[Any, str]
T = TypeVar("T")

MOST_THRESHOLDS = 10_001
LARGEST_SEED = 2**63 - 1
UNKNOWN = "Which patients this model was trained on is unknown: its figures may flatter it. "
RECALIBRATED = " It was trained with class weights, and its risks are recalibrated on tuning patients."
LOG_EVERY = 10.0  # seconds between two lines of progress in a log file


def check_common(options: Options) -> None:
    """What every verb takes, checked before any work."""
    if not 0 <= options.seed <= LARGEST_SEED:
        raise BadInput(f"The seed must be a whole number from 0, got {options.seed}.")
    if getattr(options, "act_at", None) is not None:
        check_share(options.act_at, "The risk to act at (--act-at)")


# --- verbs -----------------------------------------------------------------------------------------


def train(options: Options) -> Answer:
    _check_out(options, "the model")
    hidden_widths(options.hidden)
    cohort = cohort_of(options)
    tell(options, cohort.notes)
    model = with_test_opened(_trained(options, cohort))
    measured = measure(model, cohort.test)
    path = save_model(model, options.out)
    auroc, parameters = measured.performance.auroc, measured.size.parameters
    doubt = too_good(measured.performance, cohort, model.features)
    tell(options, [doubt] if doubt and options.json else [])
    return (
        {"auroc": auroc, "parameters": parameters, "model": str(path)}
        | ({"too_good": doubt} if doubt else {}),
        f"Trained on {cohort.train.told()}: AUROC {auroc:.3f} on {cohort.test.told()}, "
        f"{parameters:,} parameters, written to {path}."
        f"{'' if options.class_weights == NONE else RECALIBRATED} {doubt}".rstrip(),
    )


def score(options: Options) -> Answer:
    name = options.criterion or "contribution"
    settings = criterion_settings(name, options)
    floor = sums_floor(options)
    if options.out:
        _check_out(options, "the scores")
    table = large_table(options)
    split: Split | LargePatients
    if table is None:
        cohort, model = cohort_and_model(options)
        split = cohort.all() if options.split == "all" or options.external else cohort.train
        tell(options, cohort.notes)
    else:
        split, model = _large(options, table)
    if len(settings.get("rates", model.classes)) != len(model.classes):
        raise BadInput(
            f"The rates are for {len(settings['rates'])} classes, the model tells {len(model.classes)} "
            "apart; give one row for each of its classes."
        )
    if options.rates:
        check_rates_model(options.rates, model)
    scored = _written_scores(options, floor, model, split, name, settings)
    agreed = None
    if options.agreement and isinstance(split, Split):
        agreed = agreement(model, split, scored, granularity=options.agreement, seed=options.seed)
    told = scored_json(scored)
    first = ", ".join(f"{feature['name']} ({feature['score']:.3g})" for feature in told["features"][:5])
    return (
        {
            "criterion": name,
            "split": split.name,
            "patients": len(np.unique(split.patients)) if isinstance(split, Split) else split.count,
            "rows": len(split),
            **told,
            "agreement": None if agreed is None else agreed.to_json(),
            "out": options.out,
        },
        f"{name} over {split.told()}; the features that contribute most: {first}."
        + ("" if agreed is None else f" {agreed.told()}"),
    )


def _written_scores(
    options: Options,
    floor: Floor | None,
    model: RiskModel,
    split: Split | LargePatients,
    name: str,
    settings: dict[str, Any],
) -> Contributions:
    """The scores, written as --out asks: a table to read, or with a floor the sums that other sites add "
    "to."""
    if floor is None:
        scored = _scored(options, model, split, name, balanced=options.balanced, **settings)
        if options.out:
            write_whole(options.out, scores_csv(scored), "the scores")
            return scored
        return replace(scored, squares=None)  # nobody looks at the effective numbers of patients
    how: dict[str, Any] = {"balanced": options.balanced, "watch": _blocks(options, "scoring")}
    sums = site_sums(model, split, name, floor=floor, **how, **settings)
    save_sums(sums, options.out)
    tell(options, sums.cautions())
    if sums.scores is not None:
        return sums.contributions()
    tell(options, [f"{options.out} holds class rates: merge those of all sites, then score with --rates."])
    return replace(_scored(options, model, split, name, balanced=options.balanced, **settings), squares=None)


def scored_json(scored: Contributions) -> dict[str, Any]:
    """The scores for JSON: weights summed up by layer, every neuron, the features from the best on."""
    layers = scored.weights.groupby("layer", sort=False)["score"]
    weights = [
        {"layer": layer, "count": len(s), "mean": float(s.mean()), "largest": float(s.max())}
        for layer, s in layers
    ]
    features = _listed(scored.features.sort_values("score", ascending=False))
    return {"weights": weights, "neurons": _listed(scored.neurons), "features": features}


def _listed(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"name": n, "score": float(s)} for n, s in zip(table["name"], table["score"], strict=True)]


def scores_csv(scored: Contributions) -> bytes:
    """All scores as one CSV: granularity, the columns of :class:`Contributions`, the score of each class."""
    tables = []
    for granularity in GRANULARITIES:
        table = scored.table(granularity, by_class=True)
        table.insert(0, "granularity", granularity)
        tables.append(table.astype({"row": "Int64", "column": "Int64"}))
    return csv_bytes(pd.concat([table for table in tables if len(table)], ignore_index=True))


def sweep(options: Options) -> Answer:
    name, scope = options.criterion or "contribution", options.scope or USUAL_SCOPE
    settings = criterion_settings(name, options)
    if options.scores and (options.criterion or options.criterion_set):
        raise BadInput("--scores holds scores already; leave --criterion and --criterion-set out.")
    check_granularity(options.granularity)
    check_one_of("Scope", scope, SCOPES)
    thresholds = _thresholds(options.thresholds)
    threshold_grid(thresholds)
    how: dict[str, Any] = {"granularity": options.granularity, "scope": scope}
    table = large_table(options)
    tuning: Split | LargePatients
    if table is None:
        cohort, model = cohort_and_model(options)
        tell(options, cohort.notes)
        train, tuning = (None, cohort.test) if options.external else (cohort.train, cohort.tuning)
        given = load_scores(options.scores, model) if options.scores else None
        scored = given or score_model(model, tuning if train is None else train, name, **settings)
        result = sweep_thresholds(model, tuning, scored, thresholds, train=train, **how)
    else:
        large, model = _large(options, table, bytes_a_row=SWEPT)
        tuning = replace(large, name="test")
        given = load_scores(options.scores, model) if options.scores else None
        scored = given or _scored(options, model, tuning, name, **settings)
        result = sweep_large(model, tuning, scored, thresholds, watch=_blocks(options, "sweeping"), **how)
    best = result.table["auroc"].max()
    good = result.table[~(result.table["auroc"] < best - 0.01)].iloc[-1]
    return (
        result.to_json(),
        f"One shot, before retraining, on {tuning.told()}: threshold "
        f"{good['threshold']:.2f} removes {good['sparsity']:.0%} at AUROC {good['auroc']:.3f} "
        f"(best of the sweep {best:.3f}).",
    )


def _thresholds(text: str) -> int | list[float]:
    try:
        found = int(text) if text.isdecimal() else [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(
            f"Thresholds are a count such as 101 or numbers such as 0.01,0.1, got {text!r}."
        ) from None
    count = found if isinstance(found, int) else len(found)
    if count > MOST_THRESHOLDS:
        raise BadInput(f"A sweep takes at most {MOST_THRESHOLDS:,} thresholds, got {count:,}.")
    return found


def prune(options: Options) -> Answer:
    if options.external:
        raise BadInput(
            "Pruning retrains on train patients, and an external table has none; prune on the table that the "
            "model was made on, and use the external one with score, sweep or predict."
        )
    rule = options.choose or "one-se"
    choice = Choice(
        options.threshold, options.sparsity, rule, options.margin, validation_of(options), options.smallest
    )
    settings = prune_settings(options, choice)
    prices = prices_of(options.prices, options.price_unit)
    check_target(options.out)
    hidden_widths(options.hidden)
    limits = None if options.margins is None else read_limits(options.margins)
    cohort, dense = cohort_and_model(options) if options.model else (cohort_of(options), None)
    tell(options, cohort.notes)
    model = _trained(options, cohort) if dense is None else dense
    job = run(
        model,
        cohort,
        options.out,
        strategy=options.strategy,
        granularity=options.granularity,
        choice=choice,
        seed=options.seed,
        watch=lambda steps: progress(steps, "pruning", options, lambda step: (step.number, step.of)),
        watch_folds=lambda steps: _fold_bar(steps, options),
        int8=options.int8,
        limits=limits,
        recalibrate=not options.no_recalibration,
        prices=prices,
        **settings,
    )
    before, after = job.dense, job.pruned
    folds = ""
    if job.selection is not None:
        folds = f"{job.selection.sentence} "
        tell(options, job.selection.warnings)
    doubt = too_good(before.performance, cohort, model.features)
    tell(options, [doubt] if doubt and options.json else [])
    return (
        job.to_json() | ({"too_good": doubt} if doubt else {}),
        f"{folds}Removed {job.chosen.sparsity:.1%} of the {job.path.granularity}s: "
        f"AUROC {after.performance.auroc:.3f} (was {before.performance.auroc:.3f}) "
        f"on {cohort.test.told()}, "
        f"{after.size.parameters:,} of {before.size.parameters:,} parameters, "
        f"{after.size.features} of {before.size.features} features. "
        f"Sensitivity {after.performance.sensitivity:.1%} (was {before.performance.sensitivity:.1%}), "
        f"specificity {after.performance.specificity:.1%} (was {before.performance.specificity:.1%}). "
        f"{job.risks_set_right}{_spared(job)}"
        f"{UNKNOWN if model.may_know_the_patients else ''}Bundle (not reviewed) in {job.bundle.folder}."
        f"{'' if job.compression is None else ' Int8: ' + job.compression.sentence()}"
        f"{' ' if doubt else ''}{doubt}",
    )


def _spared(job: Job) -> str:
    """What the next patient is spared, in the user's words."""
    gone = [name for name in job.path.dense.needed if name not in job.chosen.needed]
    if not gone:
        return ""
    price = job.path.prices.total(gone)
    cost = f", which cost {price:,.2f} {job.path.prices.unit}".rstrip() if price else ""
    count = f"{len(gone)} of {job.path.dense.features} features"
    return f"It no longer needs {count}{cost}: {listed(gone, most=len(gone))}. "


def _fold_bar(steps: Iterable[CrossStep], options: Options) -> Iterable[CrossStep]:
    """A bar over the folds, after a note of what they will cost."""
    for step in progress(steps, "cross-validating", options, lambda step: (step.number, step.of)):
        if step.number == 0:
            tell(options, [f"{step.of} folds: about {step.planned_models:,} models will be trained."])
        yield step


def predict(options: Options) -> Answer:
    _check_out(options, "the risks")
    bundle = load_bundle(options.bundle)
    table = large_table(options)
    if table is not None:
        tell(options, [in_batches(bundle.model, table)])
        rows = predict_large(bundle.model, table, options.out, watch=_blocks(options, "predicting"))
        return {"rows": rows, "out": options.out}, f"Risks of {rows} rows written to {options.out}."
    frame, notes = opened(options.data, choices_of(options))
    tell(options, notes)
    risks = bundle.predict_proba(frame)
    with risks_to(options.out, bundle.model.classes) as write:
        write(risks)
    return {"rows": len(risks), "out": options.out}, f"Risks of {len(risks)} rows written to {options.out}."


# --- tables larger than memory ----------------------------------------------------------------------


def _large(options: Options, table: LargeTable, *, bytes_a_row: int = 0) -> tuple[LargePatients, RiskModel]:
    """The patients of a large table and the model, told how they are read."""
    if getattr(options, "agreement", False):
        raise BadInput(
            f"--agreement removes weights one by one, which takes a table in memory, and {table.title} is "
            "read in batches; leave --agreement out."
        )
    patients, model = large_and_model(options, table)
    tell(options, [in_batches(model, table, bytes_a_row=bytes_a_row), *patients.notes])
    return patients, model


def _scored(
    options: Options, model: RiskModel, split: Split | LargePatients, name: str, **settings: Any
) -> Contributions:
    if isinstance(split, Split):
        return score_model(model, split, name, **settings)
    return score_large(model, split, name, watch=_blocks(options, "scoring"), **settings)


def _blocks(options: Options, what: str) -> Watch:
    """A bar over rows."""
    return lambda blocks: progress(blocks, what, options, lambda block: (block.done, block.of))


# --- what they share --------------------------------------------------------------------------------


def _trained(options: Options, cohort: Cohort) -> RiskModel:
    spec, schedule = MLP(hidden=hidden_widths(options.hidden)), Schedule(class_weights=options.class_weights)
    steps = train_steps(cohort, spec, seed=options.seed, schedule=schedule)
    *_, last = progress(steps, "training", options, lambda step: (step.epoch.number, step.epoch.of))
    assert last.model is not None
    return acting(last.model, options)


def _check_out(options: Options, what: str) -> None:
    """BadInput when the result could not be written, or would replace what it is made from."""
    place = check_place(options.out, what)
    for name in ("data", "model", "bundle"):
        source = getattr(options, name, None)
        if source and place.exists() and Path(source).exists() and place.samefile(source):
            raise BadInput(f"{options.out!r} is an input of this verb; choose another file for {what}.")


def tell(options: Options, notes: Iterable[str]) -> None:
    """What was decided or left out, a line each on standard error."""
    for note in notes if not options.quiet else ():
        sys.stderr.write(f"note: {note}\n")


def progress(
    steps: Iterable[T], what: str, options: Options, place: Callable[[T], tuple[int, int]]
) -> Iterable[T]:
    """The steps, with a progress bar on standard error: redrawn on a terminal, a line at times in a log."""
    pause = 0.1 if sys.stderr.isatty() else LOG_EVERY
    with tqdm(
        desc=what, disable=options.quiet, leave=False, file=sys.stderr, mininterval=pause, maxinterval=pause
    ) as bar:
        for step in steps:
            number, bar.total = place(step)
            bar.update(number - bar.n)
            yield step
