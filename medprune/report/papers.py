"""Every paper of a review, by the name of its file in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medprune.report.about import About
from medprune.report.card import card_md
from medprune.report.chai import chai_xml
from medprune.report.html import report_html
from medprune.review.result import Review
from medprune.tables import json_text


def papers(review: Review, provenance: Mapping[str, Any], about: About | None = None) -> dict[str, str]:
    """The files that a review adds to a bundle. In all but review.json small counts are kept back."""
    return {
        "review.json": json_text(review.to_json()),
        "card.md": card_md(review, provenance, about),
        "report.html": report_html(review, provenance, about),
        "card.chai.xml": chai_xml(review, provenance, about),
    }
