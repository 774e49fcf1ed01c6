"""Numbers as a review tells them: three decimals without a leading nought, signs, intervals."""

from __future__ import annotations

import math

from medprune.review.estimate import Estimate


def number(value: float, digits: int = 3) -> str:
    """A share or figure.

    >>> number(0.8123), number(-0.0041), number(1.2), number(float("nan"))
    ('.812', '-.004', '1.200', 'unknown')
    """
    if math.isnan(value):
        return "unknown"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float, digits: int = 3) -> str:
    """A change, with its sign.

    >>> signed(0.0123), signed(-0.0123), signed(-0.00001)
    ('+.012', '-.012', '.000')
    """
    text = number(value, digits)
    plus = value > 0 and any(digit in text for digit in "123456789")
    return f"+{text}" if plus else text


def interval(found: Estimate, digits: int = 3) -> str:
    """Both ends of an interval.

    >>> interval(Estimate(0.0, -0.0101, 0.006))
    '-.010 to +.006'
    """
    if not found.is_known:
        return "unknown"
    if found.low < 0 < found.high:
        return f"{number(found.low, digits)} to {signed(found.high, digits)}"
    return f"{number(found.low, digits)} to {number(found.high, digits)}"
