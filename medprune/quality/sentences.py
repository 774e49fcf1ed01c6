"""What each check says: what and how many, of one column or of many, and why it matters when pruning.

``{column}`` is quoted; ``{count}`` of ``{rows}`` is also given as ``{share}``, and as "1 row" or "2 rows" in
``{counted}``. Of many columns: ``{n}`` of them, ``{names}``, and ``{least}`` to ``{most}`` rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from medprune.intake.columns import ALL_MISSING, BIRTH, IDENTIFIES, MIXES, ONE_VALUE, REPEATS

WHY_RESAMPLING_HARMS = (
    "Rare outcomes are not evened out here by repeating, inventing or leaving out patients: a network "
    "trained on a made-up share of events tells risks for that share, so every risk comes out too high, "
    "while its ranking of patients hardly improves. Keep the patients as they came, watch AUROC, "
    "sensitivity and calibration, and choose the risk to act at instead."
)


@dataclass(frozen=True)
class Sentence:
    kind: str
    one: str
    why: str = ""
    many: str = ""  # empty: always told one by one


SENTENCES = {
    "few_rows": Sentence(
        "few_rows",
        "The smallest class has {count} patients for about {inputs} inputs of a network.",
        "With fewer than {enough} an input it may learn by heart, and what pruning removes depends on "
        "chance.",
    ),
    "imbalance": Sentence(
        "imbalance",
        "Class {label!r} of {column} has {count} of {rows} rows ({share:.1%}).",
        "Accuracy hides what pruning does to so small a class; watch AUROC and sensitivity, and do not "
        "resample, which spoils the risks.",
    ),
    "rare_classes": Sentence(
        "imbalance",
        "Of the {of} classes of {column}, {classes} have less than 1 % of the rows each ({counted} in all).",
        "A network cannot learn a class from so few patients, and figures about it depend on chance; they "
        "may be taken together as one class.",
    ),
    "outcome_unfit": Sentence(
        "imbalance",
        "{sentence}",
        "Nothing can be predicted, or pruned, until the outcome is a few classes with enough patients each.",
    ),
    "repeated_patient": Sentence(
        "repeated_patient",
        "Patients with more than one row: {count} of {patients}, with {rows_of} rows.",
        "Each is kept whole in train, tuning or test, so that no model is tested on a patient it has seen; "
        "patients with many rows still weigh more in every score.",
    ),
    "duplicate": Sentence(
        "duplicate",
        "Exact repeats of another row: {count} ({share:.1%}).",
        "{whether}; if they are the same patients, some are trained on and tested on, and a pruned model "
        "looks better than it is.",
    ),
    "leakage": Sentence(
        "leakage",
        "{column} alone tells the outcome almost perfectly (AUROC {auroc:.3f}).",
        "If it is known only after the outcome, leave it out with --exclude, or every pruned model will live "
        "on it.",
        "{n} columns each tell the outcome almost perfectly alone (AUROC over 0.985): {names}.",
    ),
    "tells": Sentence(
        "leakage",
        "One value of {column}, in {counted}, goes almost always with class {label!r} ({pure:.0%} of them; "
        "{base:.1%} of all rows).",
        "That is typical of what is written down after the outcome; if so, leave it out, or pruning keeps "
        "just this column.",
        "{n} columns have a value that goes almost always with one outcome: {names}.",
    ),
    "after_outcome": Sentence(
        "leakage",
        "{column} is, by its name, known only when the outcome is, or after it.",
        "No new patient has it when the risk is needed; unless it is known in time, leave it out with "
        "--exclude.",
        "{n} columns are, by their names, known only when the outcome is, or after it: {names}.",
    ),
    "late_dates": Sentence(
        "leakage",
        "Dates in {column} lie after those in {end!r} in {counted}.",
        "What was measured after the outcome cannot foretell it; correct the dates, or leave these rows out.",
    ),
    "missing": Sentence(
        "missing",
        "{column} is missing in {count} of {rows} rows ({share:.1%}).",
        "Missing values are filled in and marked, and pruning may keep the mark rather than the value.",
        "{n} columns have missing values, in {least_share:.1%} to {most_share:.1%} of the rows: {names}.",
    ),
    "missing_rows": Sentence(
        "missing",
        "More than half of the {features} features are missing in {counted} ({share:.1%}).",
        "A risk for such a patient rests on filled-in values; a smaller model that needs fewer of them may "
        "serve these patients better.",
    ),
    "missing_together": Sentence(
        "missing",
        "Missing in the same rows ({counted}): {names}.",
        "They come from one test or one form, so a network can read from any of them that it was not done, "
        "and pruning keeps one of these marks by chance.",
    ),
    "missing_by_outcome": Sentence(
        "missing",
        "{column} is missing in {most:.1%} of class {high!r} and in {least:.1%} of class {low!r}.",
        "Whether a test was done tells about the patient, or about when the table was filled in; a network "
        "will use that mark, and it fails where tests are ordered differently.",
        "{n} columns are missing more often in one class than in another, beyond chance: {names}.",
    ),
    "constant": Sentence(
        "constant",
        "{column} is the same in all but {counted}.",
        "Its weights rest on these few rows.",
        "{n} columns are the same in over 99.5 % of the rows: {names}.",
    ),
    "identical": Sentence(
        "identical",
        "{column} equals {twin!r} in every row.",
        "Their contribution is split between them, so leave one of the two out with --exclude.",
        "{n} columns each equal another one in every row: {names}.",
    ),
    "collinear": Sentence(
        "collinear",
        "{column} rises and falls with {twin!r}{also} (correlation over {least}).",
        "Which of them a pruned model keeps is nearly arbitrary.",
        "{n} columns each rise and fall with another one (correlation over 0.98): {names}.",
    ),
    "rare_category": Sentence(
        "rare_category",
        "{column} has rare categories ({labels}, in {counted}).",
        "They are taken together as one, because a network cannot learn from so few patients.",
        "{n} columns have rare categories, in {least} to {most} rows: {names}.",
    ),
    "spelling": Sentence(
        "encoding",
        "{column} has categories that say the same as another in other letters ({labels}, in {counted}).",
        "Each spelling gets weights of its own, of which pruning may remove one and keep the other.",
        "{n} columns have one category written in several ways, in {least} to {most} rows: {names}.",
    ),
    "unknown_word": Sentence(
        "sentinel",
        "A category of {column} is a word for 'not known', in {counted}.",
        "It becomes an input of its own beside the mark for missing values.",
        "{n} columns have a category that is a word for 'not known', in {least} to {most} rows: {names}.",
    ),
    "encoding": Sentence(
        "encoding",
        "{column} has categories with letters that were read in the wrong encoding ({labels}, in {counted}).",
        "New patients will not be read so; save the table again as UTF-8.",
        "{n} columns have letters that were read in the wrong encoding: {names}.",
    ),
    "sentinel": Sentence(
        "sentinel",
        "{column} is {code:g} in {counted}, far from all other values or the only negative one.",
        "If that stands for 'missing', empty these cells, or the network takes the code for a measurement.",
        "{n} columns hold codes such as {code:g} that may stand for 'missing', in {least} to {most} rows: "
        "{names}.",
    ),
    "impossible": Sentence(
        "impossible",
        "{column} lies outside {low:g} to {high:g} {unit} in {counted}.",
        "No patient has such a value; correct or empty these cells, because one of them can outweigh many "
        "patients when a weight is scored.",
        "{n} columns hold values that no patient has, in {least} to {most} rows: {names}.",
    ),
    "mixed_units": Sentence(
        "mixed_units",
        "{column} is about {ratio:.0f} times apart from the other values in {counted}.",
        "If these are in another unit, convert them, or the network sees two kinds of patients.",
        "{n} columns seem to mix two units, in {least} to {most} rows: {names}.",
    ),
    ALL_MISSING: Sentence(
        "missing",
        "{column} is left out: {reason}.",
        "",
        "{n} columns are left out, as every value is missing: {names}.",
    ),
    ONE_VALUE: Sentence(
        "constant",
        "{column} is left out: {reason}.",
        "",
        "{n} columns are left out, as they have the same value in every row: {names}.",
    ),
    IDENTIFIES: Sentence(
        "identifier",
        "{column} is left out: {reason}.",
        "A network can learn patients by heart from it, and it may not leave the hospital.",
        "{n} columns are left out, as they look like identifiers or free text: {names}.",
    ),
    BIRTH: Sentence(
        "identifier",
        "{column} is left out: {reason}.",
        "It tells who the patient is; age says what it says about risk.",
    ),
    REPEATS: Sentence(
        "repeated_patient",
        "{column} has {patients} different values in {rows} rows, {count} of them in several, and is left "
        "out: {reason}.",
        "While every row counts as a patient, the same person may be trained on and tested on, and a pruned "
        "model looks better than it is.",
    ),
    MIXES: Sentence(
        "encoding",
        "{column} cannot be used as it is: {reason}.",
        "A network needs one or the other: numbers, with the text emptied, or categories.",
        "{n} columns cannot be used as they are, as they mix numbers and text: {names}.",
    ),
}
