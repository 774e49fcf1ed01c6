"""What is written to the terminal: the kind of an error and where in our own code, never its text.

The text of an error may hold what stands in a patient's cell (pandas quotes it), and Streamlit prints all of
it when an error comes past our own boundary: in a fragment that runs again alone, in a download being made.
"""

from __future__ import annotations

import logging
import secrets
import sys
import traceback
from pathlib import Path
from typing import Any

LOG = logging.getLogger("medprune")
REPO = Path(__file__).resolve().parents[2]
OURS = tuple(str(REPO / part) for part in ("medprune", "pages", "app.py"))
MOST_FRAMES = 4


def where(error: BaseException) -> str:
    """The kind of an error and the last of our own lines that it came by."""
    frames = [
        f"{Path(frame.filename).relative_to(REPO)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(OURS)
    ]
    kind = type(error).__name__
    if isinstance(error, ImportError) and error.name:
        kind += f" ({error.name})"
    return f"{kind} at {' > '.join(frames[-MOST_FRAMES:]) or 'no line of ours'}"


def report(error: BaseException) -> str:
    """Log an error that nobody foresaw; gives the number under which it is found."""
    number = secrets.token_hex(4)
    LOG.error("error %s: %s", number, where(error))
    return number


def keep_values_out() -> None:
    """From here on no record of this process, whoever writes it, carries an error's text or traceback."""
    make = logging.getLogRecordFactory()
    if getattr(make, "keeps_values_out", False):
        return

    def without_values(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        return _cleaned(record)

    without_values.keeps_values_out = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(without_values)


def _cleaned(record: logging.LogRecord) -> logging.LogRecord:
    found = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    error = found or sys.exc_info()[1]
    if error is not None and record.name != LOG.name:  # the message itself may quote the error, or be it
        record.msg, record.args = f"{record.name}: {where(error)}", ()
    elif isinstance(record.args, tuple):
        record.args = tuple(where(each) if isinstance(each, BaseException) else each for each in record.args)
    record.exc_info, record.exc_text, record.stack_info = None, None, None
    return record
