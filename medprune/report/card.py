"""card.md: the report's essentials in Markdown, for whoever opens a bundle in a text editor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medprune.disclosure import FLOOR
from medprune.report import facts, fields, verdict
from medprune.report.about import About
from medprune.report.facts import Known
from medprune.report.held_back import NOTE
from medprune.report.words import in_markdown
from medprune.review import Review


def card_md(
    review: Review, provenance: Mapping[str, Any], about: About | None = None, *, floor: int = FLOOR
) -> str:
    """The model card in Markdown.

    ``provenance`` as :func:`medprune.flow.provenance` has it; ``floor`` is the largest count of patients
    that is kept back, 0 keeps back none. Nothing in it is markup but what is written here.
    """
    known = Known(review, provenance, About() if about is None else about, floor)
    parts = [*_head(known), *_checks(known), *_steps(known), *_fields(known), *_foot(known)]
    return "\n".join(parts) + "\n"


def _head(known: Known) -> Iterable[str]:
    gate = known.review.gate
    yield f"# {in_markdown(known.title)}"
    yield ""
    yield f"**{verdict.ICONS[gate]} {verdict.NAMES[gate]}.** {in_markdown(verdict.FOUND[gate])}"
    yield in_markdown(verdict.counted(known))
    if known.review.override is not None:
        yield ""
        yield f"**Used although it did not pass**, {in_markdown(facts.override(known))}"
    yield ""
    yield "## Of 1,000 patients"
    yield ""
    if told := verdict.everybody(known):
        yield in_markdown(told)
        yield ""
    yield from (f"- {in_markdown(many)}: {in_markdown(what)}" for what, many in verdict.of_a_thousand(known))


def _checks(known: Known) -> Iterable[str]:
    yield ""
    yield "## The nine checks"
    yield ""
    yield "| Check | State | What was found |"
    yield "|---|---|---|"
    for check in verdict.all_nine(known):
        state = f"{verdict.ICONS[check.state]} {verdict.NAMES[check.state]}"
        yield f"| {check.id} {in_markdown(check.title)} | {state} | {in_markdown(check.sentence)} |"


def _steps(known: Known) -> Iterable[str]:
    yield ""
    yield "## What to do next"
    yield ""
    yield from (f"- {in_markdown(step)}" for step in verdict.next_steps(known))


def _fields(known: Known) -> Iterable[str]:
    done, of = fields.filled(known)
    yield ""
    yield "## Card"
    yield ""
    yield f"{done} of {of} fields are filled in."
    for group in fields.GROUPS:
        yield ""
        yield f"### {in_markdown(group.title)}"
        yield ""
        yield in_markdown(answers_to(group))
        yield ""
        yield "| Field | Value |"
        yield "|---|---|"
        for line in fields.lines(group, known):
            yield f"| {in_markdown(line.title)} | {in_markdown(line.value)} |"
    yield ""
    for note in (fields.TRIPOD_NOTE, fields.HTI_NOTE, fields.CHANGE_NOTE):
        yield in_markdown(note)
        yield ""


def answers_to(group: fields.Group) -> str:
    """The items of the three standards that a group of fields answers to."""
    parts = [f"TRIPOD+AI {fields.items(group.tripod)}", f"CHAI {', '.join(group.chai)}"]
    if group.hti:
        parts.append(f"HTI-1 {', '.join(group.hti)}")
    return "; ".join(parts)


def _foot(known: Known) -> Iterable[str]:
    if known.floor:
        yield in_markdown(NOTE.format(floor=known.floor))
        yield ""
    yield in_markdown(verdict.footer(known))
