"""What the shell's options ask for, as values: everything wrong is told before anything is trained."""

from __future__ import annotations

import csv
import json
from argparse import Namespace as Options
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from medprune.criteria import CRITERIA, seed_setting
from medprune.errors import BadInput, nearest
from medprune.flow import Choice
from medprune.fold_selection import Validation
from medprune.model import RiskModel
from medprune.path import COUNTS, member, method
from medprune.performance import check_share
from medprune.prices import Prices
from medprune.quantisation import check_way
from medprune.scoring import check_granularity
from medprune.selection import RULES
from medprune.settings import settings_of
from medprune.site_counts import Floor
from medprune.sums_file import is_sums, load_sums
from medprune.training import BALANCED, NONE, Schedule


def prune_settings(options: Options, choice: Choice) -> dict[str, Any]:
    """The strategy's settings that were given. Everything wrong is told before anything is trained."""
    given = {"criterion": options.criterion, "scope": options.scope}
    settings = {name: value for name, value in given.items() if value is not None}
    settings |= _set(options.strategy, options.set)
    if own := criterion_set(options):
        settings["options"] = tuple(own.items())
    if options.class_weights != NONE:
        settings["schedule"] = _weighted_schedule(options.strategy)
    how = method(options.strategy, **(choice.settings(options.strategy) | settings))
    criterion_settings(options.criterion or "contribution", options)
    if check_granularity(options.granularity) not in how.granularities:
        raise BadInput(
            f"{options.strategy!r} does not prune {options.granularity}s; use --granularity "
            f"{' or '.join(how.granularities)}."
        )
    check_one_of("Smallest", choice.smallest, COUNTS)
    check_one_of("Rule", choice.rule, RULES)
    check_share(choice.margin, "The margin")
    if options.int8 is not None:
        check_way(options.int8)
    return settings


def _weighted_schedule(strategy: str) -> Schedule:
    """How the strategy trains, with class weights."""
    usual = getattr(method(strategy), "schedule", None)
    if not isinstance(usual, Schedule):
        raise BadInput(f"{strategy!r} trains no network, so it takes no class weights; leave them out.")
    return replace(usual, class_weights=BALANCED)


def _names(text: str) -> tuple[str, ...]:
    """Names between commas; a name that has a comma of its own stands in quotation marks, as in a CSV."""
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))


# Settings that no form on screen asks for, and how the shell reads them.
UNSCREENED: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("exhaustive", "among"): _names,
    ("genetic", "checkpoint"): str,
}


def _set(strategy: str, given: Sequence[str]) -> dict[str, Any]:
    """The settings of --set NAME=VALUE, each of the kind that the strategy's own value is."""
    return _read(strategy, settings_of(member(strategy)), given)


def criterion_set(options: Options) -> dict[str, Any]:
    """The settings of --criterion-set NAME=VALUE, which are those of the criterion."""
    name = options.criterion or "contribution"
    return _read(name, settings_of(CRITERIA.get(name)), options.criterion_set)


def _read(owner: str, known: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        if (owner, name) in UNSCREENED:
            settings[name] = UNSCREENED[owner, name](value)
            continue
        if name not in known:
            raise BadInput(
                f"{owner!r} has no setting {name!r}{nearest(name, known)}; "
                f"it has {', '.join(known) or 'none'}."
            )
        settings[name] = _value(name, value, known[name][0])
    return settings


def _value(name: str, text: str, usual: Any) -> Any:
    try:
        if isinstance(usual, bool):
            return {"yes": True, "no": False, "true": True, "false": False}[text.lower()]
        if isinstance(usual, int | float):
            return type(usual)(text)
    except (KeyError, ValueError):
        kind = "yes or no" if isinstance(usual, bool) else "a number"
        raise BadInput(f"The setting {name!r} takes {kind}, got {text!r}.") from None
    return tuple(part.strip() for part in text.split(",")) if isinstance(usual, tuple) else text


def prices_of(path: str | None, unit: str) -> Prices | None:
    """The prices of a CSV with a feature and its price in a row, or of a JSON object."""
    if path is None:
        if unit:
            raise BadInput("--price-unit names the unit of --prices; give the prices too.")
        return None
    try:
        if path.endswith(".json"):
            found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        else:
            table = pd.read_csv(
                path, header=None, names=["feature", "price"], dtype=str, keep_default_na=False
            )
            rows = table.to_dict(orient="records")
            first = 1 if rows and rows[0]["price"].strip().lower() == "price" else 0
            found = {row["feature"]: row["price"] for row in rows[first:]}
        prices = {str(name): float(price) for name, price in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise BadInput(
            f"The prices in {Path(path).name!r} could not be read; give a CSV with a feature and its price "
            'in each row, or JSON such as {"lactate": 12.5}.'
        ) from None
    return Prices.of(prices, unit)


def validation_of(options: Options) -> Validation | None:
    """How to cross-validate, when --folds asks for it."""
    if options.folds is not None:
        return Validation(
            folds=options.folds,
            repeats=1 if options.repeats is None else options.repeats,
            nested=options.nested,
            processes=options.processes,
        )
    if options.repeats is not None or options.nested or options.processes is not None:
        raise BadInput(
            "--repeats, --nested and --processes say how to cross-validate; add --folds, such as 5."
        )
    return None


def criterion_settings(name: str, options: Options) -> dict[str, Any]:
    """The settings of a criterion that the shell can give it; BadInput when there is no such criterion."""
    settings: dict[str, Any] = seed_setting(name, options.seed) | criterion_set(options)
    rates = getattr(options, "rates", None)
    if rates is None:
        return settings
    if not CRITERIA.get(name).classes_are_predicted:
        raise BadInput(f"The criterion {name!r} takes no --rates; class_contribution does.")
    return settings | {"rates": _rates(rates)}


def _rates(path: str) -> tuple[tuple[float, ...], ...]:
    """The rates in a file: a matrix, or the merged sums of the first of two rounds."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if is_sums(rows):
            return load_sums(path).rates
        rates = tuple(tuple(float(rate) for rate in row) for row in rows)
    except (OSError, ValueError, TypeError, RecursionError):
        rates = ()
    square = all(len(row) == len(rates) and all(0 <= rate <= 1 for rate in row) for row in rates)
    if not rates or not square:
        raise BadInput(
            f"The rates in {Path(path).name!r} could not be read; give JSON with a row for every true class "
            "and a rate in [0, 1] for every predicted one, such as [[0.9, 0.1], [0.2, 0.8]]."
        )
    return rates


def check_rates_model(path: str, model: RiskModel) -> None:
    """BadInput when --rates names merged class rates of another model."""
    if is_sums(json.loads(Path(path).read_text(encoding="utf-8-sig"))):
        load_sums(path).check_model(model)


def sums_floor(options: Options) -> Floor | None:
    """The floor of the sums that --out asks for; None when it names a table (.csv), or nothing."""
    shared = options.out is not None and not options.out.lower().endswith(".csv")
    if options.at_least is None:
        return Floor() if shared else None
    if not shared:
        raise BadInput(
            "--at-least says how many patients the sums in --out are over; name a file of sums there, such "
            "as --out site.json."
        )
    return Floor.read(options.at_least)


def check_one_of(what: str, name: str, known: Mapping[str, Any] | Sequence[str]) -> None:
    if name not in known:
        raise BadInput(f"{what} must be one of {', '.join(known)}, got {name!r}.")
