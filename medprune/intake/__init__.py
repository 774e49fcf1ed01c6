"""Files from outside, read by their content and never by their name; nothing in them is executed.

:func:`read_table_safely` and :func:`read_model_safely` are the doors: a child process opens the file.
"""

from medprune.intake.confine import Limits
from medprune.intake.safely import TableRead, read_model_safely, read_table_safely
from medprune.intake.table_choices import ChoiceNeeded, TableChoices

__all__ = ["ChoiceNeeded", "Limits", "TableChoices", "TableRead", "read_model_safely", "read_table_safely"]
