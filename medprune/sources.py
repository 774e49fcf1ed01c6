"""The table and the model that a verb of the shell is given, and the split that belongs to them.

A model that MedPrune wrote knows its split, its classes and the columns it reads, whatever else the table
holds; of a plain state_dict the options say what the file cannot.
"""

from __future__ import annotations

import csv
from argparse import Namespace as Options
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from medprune.censoring import told_of
from medprune.cohort import Cohort, load_cohort, refuse_censoring
from medprune.dealing import EXTERNAL
from medprune.errors import BadInput, listed
from medprune.intake.adopt import Adoption, adopt_model, known_activations, read_constants
from medprune.intake.completion import (
    described_model,
    for_cohort,
    is_described,
    is_foreign,
    numbered_columns,
    refuses_missing,
)
from medprune.intake.foreign import read_model_file
from medprune.intake.large_table import LargeTable, is_parquet
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_file import opened
from medprune.intake.tensor_file import TensorFile
from medprune.large import LargePatients, large_patients
from medprune.model import RiskModel
from medprune.model_file import check_columns, check_fits, model_from
from medprune.quality import read_ranges
from medprune.splits import SplitRecord
from medprune.treatments import of_the_table

EVERYBODY = "All rows are used, whatever split of the model their patients are in."
TEST_TOO = " Test patients are among them: what is chosen by these scores has seen them."


def cohort_of(options: Options, source: Any = None, **more: Any) -> Cohort:
    """The cohort that the options describe; ``source`` is the table when it has been read already."""
    common = {
        "patient": options.patient,
        "positive": options.positive,
        "seed": options.seed,
        "treatments": tuple(options.treat),
        "ranges": None if options.ranges is None else read_ranges(options.ranges),
        "subgroups": tuple(getattr(options, "subgroups", ())),
        "time": options.time,
        "horizon": options.horizon,
    }
    return load_cohort(
        options.data if source is None else source,
        outcome=options.outcome,
        exclude=tuple(options.exclude),
        choices=choices_of(options),
        **(common | more),
    )


def choices_of(options: Options) -> TableChoices:
    """What the options say about the table's file."""
    return TableChoices(sheet=options.sheet, decimal=options.decimal, encoding=options.encoding)


def cohort_and_model(options: Options) -> tuple[Cohort, RiskModel]:
    """The model and its cohort, with the split that the model was made on."""
    file = read_model_file(options.model)
    if not is_described(file):
        cohort, model = _adopted(options, file)
    elif is_foreign(file):
        cohort, model = _completed(options, file)
    else:
        cohort, model = _described(options, file)
    return replace(cohort, notes=(*file.notes, *cohort.notes)), acting(model, options)


def _described(options: Options, file: TensorFile) -> tuple[Cohort, RiskModel]:
    """A model that says of itself what it reads: that, whatever else the table holds."""
    model = model_from(file)
    _check_read(model, options)
    _refuse_treatments(options)
    frame, notes = opened(options.data, choices_of(options))
    check_columns(model, [str(name) for name in frame.columns if name != options.outcome])
    how: dict[str, Any] = {
        "positive": model.positive if options.positive is None else options.positive,
        "classes": model.classes,
        "features": model.preparation.features,
    }
    if not options.external:
        how["treatments"] = of_the_table(model.origin.treatments, options.outcome)
    how |= _follow_up(model, options)
    if getattr(options, "split", None) == "all" and not options.external:
        cohort = _everybody(options, frame, model.origin.split, how)
    else:
        cohort = cohort_of(options, frame, split=model.origin.split, external=options.external, **how)
    check_fits(model, cohort)
    _check_positive(options.positive, model)
    time = None if cohort.follow_up is None else cohort.follow_up.time
    used = {options.outcome, cohort.patient, time, *options.exclude, *model.features}
    unread = tuple((str(name), "the model does not read it") for name in frame.columns if name not in used)
    return replace(cohort, notes=(*notes, *cohort.notes), kept_out=unread), model


def _follow_up(model: RiskModel, options: Options) -> dict[str, Any]:
    """The follow-up time and the horizon that the model was trained for, where the options name none."""
    trained = told_of(model.origin.training)
    if trained is None:
        return {}
    time, horizon = options.time or trained[0], options.horizon
    return {"time": time, "horizon": trained[1] if horizon is None else horizon}


def _everybody(
    options: Options, frame: pd.DataFrame, split: SplitRecord | None, how: Mapping[str, Any]
) -> Cohort:
    """All rows of whatever table: it does not matter who is in which split of the model."""
    usual = None if split is None else split.patient
    named = {"patient": usual} if options.patient is None and usual in frame.columns else {}
    cohort = cohort_of(options, frame, external=True, **named, **how)
    own = split is not None and split.table_hash == cohort.table_hash
    note = EVERYBODY + (TEST_TOO if own else "")
    return replace(cohort, notes=(*(told for told in cohort.notes if told != EXTERNAL), note))


def large_table(options: Options) -> LargeTable | None:
    """The table, when it is to be read in batches: it is large, a folder, or --in-batches asks for it."""
    if not is_parquet(options.data):
        if options.in_batches:
            raise BadInput(
                f"Only Parquet is read in batches, and {Path(options.data).name!r} is no Parquet file; save "
                "the table as Parquet, or leave --in-batches out."
            )
        return None
    try:
        table = LargeTable.open(options.data)
    except BadInput:
        if options.in_batches or Path(options.data).is_dir():
            raise
        return None  # told by who reads it whole
    return table if table.is_large or options.in_batches else None


def large_and_model(options: Options, table: LargeTable) -> tuple[LargePatients, RiskModel]:
    """The model, and the patients of a large table: all of them, who must be declared external."""
    file = read_model_file(options.model)
    if not is_described(file) or is_foreign(file):
        raise BadInput(
            f"{file.title} comes from elsewhere, and a table that is read in batches needs a model that "
            "MedPrune wrote; adopt the model on a smaller table first."
        )
    if not options.external and getattr(options, "split", None) != "all":
        raise BadInput(
            f"{table.title} is read in batches, where all rows are used and no model has its split; declare "
            "its patients as other ones than the model was made on with --external."
        )
    refuse_censoring(options.time, options.horizon)
    _refuse_treatments(options)
    model = model_from(file)
    _check_read(model, options)
    _check_positive(options.positive, model)
    patients = large_patients(
        table,
        model,
        outcome=options.outcome,
        positive=options.positive,
        patient=options.patient,
        exclude=options.exclude,
    )
    return replace(patients, notes=(*file.notes, *patients.notes)), acting(model, options)


def _refuse_treatments(options: Options) -> None:
    if options.treat:
        raise BadInput(
            "The model treats the table as it was trained to; leave --treat out, or train a new model with "
            "it."
        )


def _check_read(model: RiskModel, options: Options) -> None:
    wrong = [name for name in model.features if name in options.exclude]
    if wrong:
        raise BadInput(f"The model reads {listed(wrong)}, which --exclude would leave out; leave it in.")


def _check_positive(asked: str | None, model: RiskModel) -> None:
    """BadInput when --positive names the class that is the negative one of the model."""
    negative, positive = model.classes[0], model.classes[-1]
    if asked is not None and len(model.classes) == 2 and asked.strip().lower() == negative.lower():  # noqa: PLR2004
        raise BadInput(
            f"The model was trained to predict {positive!r}, not {negative!r}; leave --positive out, or "
            "train a new model."
        )


def _completed(options: Options, file: TensorFile) -> tuple[Cohort, RiskModel]:
    """A described model from elsewhere: what it leaves open comes from the options and the table."""
    _refuse_external(options, file)
    frame, notes = opened(options.data, choices_of(options))
    columns, offered = _names(options.columns), tuple[str, ...]()
    if numbered_columns(file):
        offered = tuple(feature.name for feature in cohort_of(options, frame).features)
    model = described_model(file, columns, offered=offered)
    _check_read(model, options)
    check_columns(model, [str(name) for name in frame.columns if name != options.outcome])
    cohort = cohort_of(options, frame, features=model.preparation.features)
    model = for_cohort(model, cohort, file, _names(options.classes))
    more = _holes(cohort, refuses_missing(file, model))
    return replace(cohort, notes=(*notes, *cohort.notes, *more)), model


def _refuse_external(options: Options, file: TensorFile) -> None:
    if options.external:
        raise BadInput(
            f"{file.title} does not say which patients it was trained on, so none can be declared external; "
            "leave --external out."
        )


def _holes(cohort: Cohort, without: Sequence[str]) -> tuple[str, ...]:
    """What happens to missing values that the model has no own way with."""
    frame = cohort.all().frame
    holes = [name for name in without if frame[name].isna().any()]
    return (f"Missing values of {listed(holes)} are replaced by the median of train.",) if holes else ()


def _adopted(options: Options, file: TensorFile) -> tuple[Cohort, RiskModel]:
    """A plain state_dict, read as its user says."""
    adoption = _adoption(options, file)
    _refuse_external(options, file)
    cohort = cohort_of(options)
    model = adopt_model(file, cohort, adoption)
    flagged = {column.feature for column in model.preparation.columns if column.role != "value"}
    more = _holes(cohort, [name for name in model.features if name not in flagged])
    return replace(cohort, notes=(*cohort.notes, *more)), model


def _adoption(options: Options, file: TensorFile) -> Adoption:
    known = known_activations(file)
    if (options.activation is None and not known) or options.scaling is None:
        what = "does not say how its inputs are made; add"
        if not known:
            built = "is a plain state_dict and does not say how it was built"
            what = f"{built}; add --activation (such as relu) and"
        raise BadInput(
            f"{file.title} {what} --scaling (fitted, scaled, or constants=FILE.json), and --columns when the "
            "table's order differs."
        )
    scaling, _, constants = options.scaling.partition("=")
    return Adoption(
        activation=options.activation or "relu",  # not looked at where the file tells them
        scaling=scaling,
        columns=_names(options.columns),
        classes=_names(options.classes),
        norm_first=not options.norm_last,
        constants=read_constants(constants) if constants else None,
    )


def _names(text: str | None) -> tuple[str, ...]:
    """Names between commas; one that holds a comma stands in double quotation marks."""
    rows = list(csv.reader([text or ""], skipinitialspace=True))
    return tuple(part.strip() for part in rows[0]) if text and rows else ()


def acting(model: RiskModel, options: Options) -> RiskModel:
    """The model, acting at the risk that was asked for."""
    return model if options.act_at is None else replace(model, act_at=options.act_at)
