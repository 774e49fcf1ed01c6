"""Every paper of a review, by the name of its file in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medprune.report.about import About
from medprune.review.result import Review
from medprune.tables import json_text


def papers(review: Review, provenance: Mapping[str, Any], about: About | None = None) -> dict[str, str]:
    """The files that a review adds to a bundle."""
    return {"review.json": json_text(review.to_json())}
