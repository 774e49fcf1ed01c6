"""The papers as files: they need nothing else, obey nobody's words, and say what the review found."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import pytest
from defusedxml import ElementTree

from medprune.report import About, card_md, papers, questions, report_html
from medprune.report.chai import NAMESPACE, chai_xml
from medprune.report.facts import Known
from medprune.report.fields import GROUPS, TRIPOD_NOTE, filled, items
from medprune.report.verdict import NO_EVIDENCE, STILL_NEEDED
from medprune.report.words import NOT_PROVIDED, in_markdown
from medprune.review import Check, Override
from medprune.review.wording import interval, number
from tests.report.made import HOSTILE, PROVENANCE, found, hostile

FULL = About(**{name: f"said of {name}" for name in questions()})
EVIL = About(**dict.fromkeys(questions(), " ".join(HOSTILE)))


class Page(HTMLParser):
    """What a browser would make of it: elements, attributes, and text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.hidden = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.hidden = tag in ("style", "title", "desc")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report_html(found(), PROVENANCE))


def test_the_report_loads_nothing_and_runs_nothing(page: Page) -> None:
    html = report_html(found(), PROVENANCE)
    assert not {"script", "link", "iframe", "object", "embed", "img", "form", "base"} & set(page.tags)
    loads = {"src", "srcset", "data", "action", "background", "poster", "xlink:href", "style"}
    assert not [each for each in page.attributes if each[1] in loads or each[1].startswith("on")]
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert "url(http" not in html
    assert "@import" not in html
    assert re.findall(r"url\(([^)]*)\)", html) == [
        u for u in re.findall(r"url\(([^)]*)\)", html) if u[0] == "#"
    ]
    [policy] = [v for t, n, v in page.attributes if n == "content" and "default-src" in v]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("html", "lang", "en") in page.attributes


def test_addresses_are_only_the_names_of_two_languages() -> None:
    html = report_html(found(), PROVENANCE)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[^\s\"'<]+", chai_xml(found(), PROVENANCE))) == {NAMESPACE}


def test_headings_contents_and_styles_for_paper_and_the_dark(page: Page) -> None:
    html = report_html(found(), PROVENANCE)
    assert page.tags.count("h1") == 1
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= ids
    for rule in ("@media print", "size: A4", "break-inside: avoid", "break-before: page",
                 "table-header-group", "prefers-color-scheme: dark"):  # fmt: skip
        assert rule in html


def test_every_chart_has_words_and_is_xml_of_its_own() -> None:
    html = report_html(found(), PROVENANCE)
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) > 6
    seen: set[str] = set()
    for chart in charts:
        root = ElementTree.fromstring(chart)
        title, desc = root[0], root[1]
        assert title.text
        assert desc.text
        assert root.get("role") == "img"
        assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
        ids = {each.get("id") for each in root.iter() if each.get("id")}
        assert not ids & seen
        seen |= ids  # type: ignore[arg-type]
        assert "nan" not in chart
        assert "inf" not in re.sub(r"<(title|desc).*?</\1>", "", chart)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_same_input_gives_the_same_bytes(classes: int) -> None:
    review = found(450, classes)
    again = replace(review)
    assert papers(review, PROVENANCE, FULL) == papers(again, PROVENANCE, FULL)


@pytest.mark.parametrize("classes", [2, 3])
def test_every_sentence_and_figure_of_the_review_is_in_it(classes: int) -> None:
    review = found(450, classes)
    text = Page(report_html(review, PROVENANCE, floor=0)).text
    card = card_md(review, PROVENANCE, floor=0)
    for check in review.checks:
        assert " ".join(check.sentence.split()) in text
        assert in_markdown(check.sentence) in card
        for detail in check.details:
            assert " ".join(detail.split()) in text
    for estimate in review.auroc[:2]:
        assert f"{number(estimate.value)} ({interval(estimate)})" in text
    for side in review.sides:
        for name in ("brier", "net_benefit", "ici"):
            assert f"{number(side.pruned[name].value)} ({interval(side.pruned[name])})" in text
        assert side.raw is not None
        assert f"{number(side.raw['brier'].value)} ({interval(side.raw['brier'])})" in text
    for pair in review.pairs:
        assert f"{number(pair.pruned.value)} ({interval(pair.pruned)})" in text
    assert review.limits.sha256 in text
    assert review.limits.sha256 in card
    assert f"{review.flips.total:.0f}" in text


def test_flips_are_those_of_the_review() -> None:
    review = found()
    page = Page(report_html(review, PROVENANCE, floor=0))
    for name, title in (("caught", "With the event, newly flagged"),
                        ("spared", "Without it, no longer flagged (spared)")):  # fmt: skip
        count = getattr(review.flips, name)
        cells = f"{title} {count:.0f} {review.flips.per_1000(count):.0f}".replace(" ", "")
        assert cells in page.text.replace(" ", "")


def test_every_setting_and_the_search_burden_are_in_it(page: Page) -> None:
    for told in ("taylor", "0.002", "17 models trained, 4 of them in folds; chosen among 9", "87.5%",
                 "f" * 64,
                 "split 11", "0.0.test", "50.0%"):  # fmt: skip
        assert told in page.text
    assert "'lactate' is missing in 1 to 10 rows." in page.text
    assert "tuning 1 to 10" in page.text


def test_every_blank_says_so_and_every_answer_is_in_all_papers() -> None:
    for name, text in papers(found(), {}, About()).items():
        if name != "review.json":
            assert text.count(NOT_PROVIDED) >= 10
    blank = Known(found(), {}, About())
    told = sum(1 for line in Page(report_html(found(), {})).texts if line.strip() == NOT_PROVIDED)
    done, of = filled(blank)
    assert told >= of - done
    for name, text in papers(found(), PROVENANCE, FULL).items():
        for field in questions() if name == "card.md" else ():
            if field not in ("keywords",):
                assert in_markdown(f"said of {field}") in text, field
    html = Page(report_html(found(), PROVENANCE, FULL)).text
    assert all(f"said of {field}" in html for field in questions())


def test_hostile_words_are_only_words_in_the_report() -> None:
    html = report_html(hostile(), PROVENANCE | {"outcome": HOSTILE[0], HOSTILE[1]: HOSTILE[0]}, EVIL)
    page = Page(html)
    assert "script" not in page.tags
    assert page.tags.count("b") == Page(report_html(found(), PROVENANCE)).tags.count("b")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not any("javascript" in value for _, _, value in page.attributes)
    assert "\u202e" not in html
    assert "\x07" not in html
    for chart in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(chart)


def test_hostile_words_are_only_words_in_the_card() -> None:
    card = card_md(hostile(), PROVENANCE, EVIL)
    assert not re.search(r"(?<!\\)<", card)
    assert not re.search(r"(?<!\\)\]\(", card)
    assert not re.search(r"(?<!\\)\$", card)
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (3, 4) for row in rows)
    assert "\u202e" not in card
    assert "\x07" not in card


def test_hostile_words_are_only_words_in_the_xml() -> None:
    text = chai_xml(hostile(), PROVENANCE, EVIL)
    root = ElementTree.fromstring(text)
    names = {element.tag.partition("}")[2] for element in root.iter()}
    assert "script" not in names
    assert "b" not in names
    developer = root.find(f".//{{{NAMESPACE}}}ModelDeveloper")
    assert developer is not None
    assert "\\<script\\>" in (developer.text or "")


ORDER = (
    "BasicInfo ReleaseInfo ModelSummary UsesAndDirections Warnings TrustIngredients KeyMetrics Resources "
    "Bibliography"
)


def test_the_xml_has_the_elements_of_the_schema_in_its_order() -> None:
    root = ElementTree.fromstring(chai_xml(found(450, 3), PROVENANCE, FULL))

    def inside(*path: str) -> list[str]:
        at = root
        for name in path:
            at = at.find(f"{{{NAMESPACE}}}{name}")
            assert at is not None
        return [child.tag.partition("}")[2] for child in at]

    assert root.tag == f"{{{NAMESPACE}}}AppliedModelCard"
    assert inside() == ORDER.split()
    assert inside("UsesAndDirections") == [
        "IntendedUseAndWorkflow", "PrimaryIntendedUsers", "HowToUse", "TargetedPatientPopulation",
        "CautionedOutOfScopeSettings",
    ]  # fmt: skip
    assert inside("TrustIngredients", "AISystemFacts")[:3] == [
        "OutcomesAndOutputs",
        "ModelType",
        "InputDataSource",
    ]
    for kind in ("UsefulnessUsabilityEfficacy", "FairnessEquity", "SafetyReliability"):
        assert inside("KeyMetrics", kind) == [
            "MetricGoal", "Results", "Interpretation", "TestType", "TestingDataDescription",
            "ValidationProcessAndJustification",
        ]  # fmt: skip
        assert set(inside("KeyMetrics", kind, "Results")) == {"MetricResult"}
    for value in root.iter(f"{{{NAMESPACE}}}ValueJson"):
        assert json.loads(value.text or "")["kind"] in ("single", "estimate_ci")


@pytest.mark.parametrize("state", ["pass", "warn", "fail", "not assessable"])
def test_only_a_pass_says_that_no_harm_was_found(state: str) -> None:
    review = replace(found())
    review.__dict__["checks"] = tuple(
        Check(f"G{n}", "pass" if n < 8 else state, "As it is.") for n in range(9)
    )
    assert review.gate == state
    for paper in (report_html(review, PROVENANCE), card_md(review, PROVENANCE), chai_xml(review, PROVENANCE)):
        assert (NO_EVIDENCE in paper) == (state == "pass")
        assert STILL_NEEDED in paper or in_markdown(STILL_NEEDED) in paper


def test_no_paper_promises_anything() -> None:
    for text in papers(found(), PROVENANCE).values():
        for word in (r"\bsafe\b", r"\bvalidated model", r"no difference", r"bias-free"):
            assert not re.search(word, text, re.IGNORECASE), word


def test_an_override_is_printed_everywhere() -> None:
    taken = replace(found(), override=Override("Dr <i>Who</i>", "for a pilot", date(2027, 1, 31)))
    html = Page(report_html(taken, PROVENANCE)).text
    assert "Dr <i>Who</i>, until 2027-01-31: for a pilot" in html
    assert "until 2027-01-31" in card_md(taken, PROVENANCE)
    assert "until 2027-01-31" in chai_xml(taken, PROVENANCE)
    assert "Used although" not in report_html(found(), PROVENANCE)


def test_items_from_memory_are_marked() -> None:
    assert items(("1", "3a-b", "6c", "6d", "7", "18a", "5-7")) == "1, 3a-b, 6c, 6d*, 7*, 18a*, 5-7*"
    assert "check against BMJ 2024;385:e078378" in TRIPOD_NOTE
    assert TRIPOD_NOTE in Page(report_html(found(), {})).text
    assert len(GROUPS) == 11


def test_templates_never_switch_escaping_off() -> None:
    from importlib import resources

    template = (
        resources.files("medprune").joinpath("templates", "report.html.txt").read_text(encoding="utf-8")
    )
    assert "safe" not in re.findall(r"\|\s*(\w+)", template)
    assert "autoescape" not in template
