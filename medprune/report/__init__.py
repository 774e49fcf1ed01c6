"""The papers that leave with a reviewed model."""

from medprune.report.about import About, read_about
from medprune.report.papers import papers

__all__ = ["About", "papers", "read_about"]
