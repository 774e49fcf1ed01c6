"""What stands in a cell where there is no value."""

from __future__ import annotations

# Among numbers.
NUMBER_MISSING = frozenset(
    (
        "",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "<NA>",
        "NaN",
        "nan",
        "NAN",
        "-nan",
        "null",
        "NULL",
        "None",
        "?",
        ".",
        "-",
    )
)
# Among text, where "NA" and "None" are categories.
TEXT_MISSING = frozenset(("", "?", "NaN", "nan", "null", "NULL"))
