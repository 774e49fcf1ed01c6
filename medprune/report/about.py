"""What only the people behind a model can say about it: read from a JSON file, blank where they do not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from medprune.errors import BadInput, nearest

LONGEST = 20_000  # characters of one answer
LARGEST = 1_000_000  # bytes of the file


def asks(question: str) -> Any:
    """A blank field with the question it answers, which a form or a template shows."""
    return field(default="", metadata={"asks": question})


@dataclass(frozen=True)
class About:
    """Everything about a model that is not in its numbers; every field is text and may stay blank."""

    name: str = asks("What is the model called?")
    version: str = asks("Which version is this?")
    summary: str = asks("What is it, in two sentences?")
    keywords: str = asks("Under which words should it be found?")
    release_date: str = asks("When was this version released?")
    release_stage: str = asks("Is it a research model, in a pilot, or in use?")
    developer: str = asks("Who developed it?")
    contact: str = asks("Whom does one ask about it?")
    funding: str = asks("Who paid for it?")
    regulatory: str = asks("Which approvals does it have?")
    availability: str = asks("Where may it be used?")
    output: str = asks("What does the risk mean, in a clinician's words?")
    horizon: str = asks("Over which time is the risk?")
    intended_use: str = asks("What is it meant to be used for, and where in the work on a ward?")
    users: str = asks("Who is meant to use it?")
    population: str = asks("For which patients?")
    how_to_use: str = asks("How is it used, step by step?")
    decision_role: str = asks("What part does it play in the decision: does it inform, triage or decide?")
    threshold_set_by: str = asks("Who set the risk that is acted on, and on what grounds?")
    out_of_scope: str = asks("For which patients, places and decisions must it not be used?")
    warnings: str = asks("Which risks of using it are known?")
    missing_input: str = asks("What should be done when an input is missing?")
    risk_level: str = asks("How grave is a wrong risk for a patient?")
    ethics: str = asks("Which biases or ethical questions are known?")
    data_source: str = asks("Where do the patients' data come from?")
    eligibility: str = asks("Which patients were taken in, and which left out?")
    dates: str = asks("From when to when?")
    sites: str = asks("From which hospitals or practices?")
    demographics: str = asks("Which demographic columns are used, and for what?")
    groups_defined: str = asks("Which subgroups were named before looking, by whom, and when?")
    fairness_process: str = asks("What was done so that it is fair?")
    bias_mitigation: str = asks("What was done against bias?")
    stakeholders: str = asks("Which patients and staff were asked?")
    validation_data: str = asks("Where do the reviewed patients come from, if not from the same table?")
    external_validation: str = asks("Where else was it tested, and with what result?")
    tested_by: str = asks("Who reviewed it, and are they independent of who developed it?")
    sample_size: str = asks("Why are there enough patients?")
    monitoring: str = asks("How will it be watched in use?")
    drift_triggers: str = asks("What would make you stop or retrain it?")
    maintenance: str = asks("Who maintains it, and how often is it updated?")
    limitations: str = asks("What else limits it?")
    consent: str = asks("How are patients told, or asked?")
    publications: str = asks("Which reviewed publications are there?")
    data_and_code: str = asks("Where are data and code?")
    bibliography: str = asks("Which works does this card cite (as BibTeX for the XML)?")

    @property
    def given(self) -> int:
        """How many fields somebody has filled in."""
        return sum(bool(getattr(self, each.name).strip()) for each in fields(self))


def questions() -> dict[str, str]:
    """Every field of :class:`About` with the question it answers, in order: for a form."""
    return {each.name: str(each.metadata["asks"]) for each in fields(About)}


def blank_about() -> str:
    """A JSON file to fill in: every field, blank."""
    return json.dumps(dict.fromkeys(questions(), ""), indent=1) + "\n"


def read_about(path: str | Path) -> About:
    """The answers in a JSON file such as {"name": "Ward risk", "users": "ward physicians"}.

    An answer is text, a number, or a list of those. Raises BadInput for a file that is none, for a field
    that there is not, and for an answer that is neither.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError:
        raw = b""
    return about_of(raw, Path(path).name)


def about_of(raw: bytes, name: str) -> About:
    """The answers in the bytes of such a file, called ``name``. Raises BadInput."""
    try:
        found = json.loads(raw.decode("utf-8-sig")) if len(raw) <= LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(
            f"What {name!r} says about the model could not be read; give JSON of at most "
            f'{LARGEST // 1_000_000} MB with answers by field, such as {{"name": "...", "users": "..."}}.'
        )
    return about_from(found)


def about_from(found: dict[str, Any]) -> About:
    """The same from values by field. Raises BadInput."""
    known = questions()
    for name in found:
        if name not in known:
            raise BadInput(
                f"There is nothing to be said about a model under {name!r}{nearest(name, known)}; the fields "
                f"are {', '.join(known)}."
            )
    return About(**{name: _text(name, value) for name, value in found.items()})


def _text(name: str, value: Any) -> str:
    """An answer as text without lone halves of characters, which no file can hold."""
    if value is None:
        return ""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts):
        raise BadInput(f"The field {name!r} about the model takes text, or a list of texts.")
    text = "; ".join(str(part).strip() for part in parts).encode("utf-8", "replace").decode("utf-8")
    if len(text) > LONGEST:
        raise BadInput(
            f"The field {name!r} about the model has {len(text):,} characters; keep to {LONGEST:,}."
        )
    return text
