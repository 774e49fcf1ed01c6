"""The paper that leaves with a model: the card, the report, and the card as XML, from one table of fields."""

from medprune.report.about import About, blank_about, questions, read_about
from medprune.report.card import card_md
from medprune.report.html import report_html
from medprune.report.papers import papers

__all__ = ["About", "blank_about", "card_md", "papers", "questions", "read_about", "report_html"]
