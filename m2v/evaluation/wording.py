"""How strategies, scores and numbers are said to people."""

import math

STRATEGIES = {
    "no_ft": "No fine-tuning",
    "om_ft": "Original memes (OM)",
    "rm_ft": "Re-annotated memes (RM)",
    "vid_ft": "Videos",
    "vid_rm_ft": "Videos + RM",
    "majority": "Majority class",
}

SCORES = {
    "macro_f1": "Macro-F1",
    "accuracy": "Accuracy",
    "f1": "F1",
    "recall": "Recall",
    "precision": "Precision",
    "auroc": "AUROC",
}

PAPER_MODE = " (paper mode)"
NOT_ESTIMABLE = "not estimable"


def decimal(value: float | None, *, places: int = 3) -> str:
    """Return a share or coefficient without its leading zero, as in ``.741`` and ``−.05``; None is "not estimable"."""
    if value is None or math.isnan(value):
        return NOT_ESTIMABLE
    digits = f"{abs(value):.{places}f}"
    is_zero = float(digits) == 0
    return ("−" if value < 0 and not is_zero else "") + digits.removeprefix("0")


def difference(value: float) -> str:
    """Return a decimal with its sign, as in ``+.051``."""
    text = decimal(value)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def interval(low: float | None, high: float | None, *, places: int = 2) -> str:
    """As in ``[.68, .80]``; nothing where there is none."""
    return "" if low is None or high is None else f"[{decimal(low, places=places)}, {decimal(high, places=places)}]"


def p_value(value: float) -> str:
    """As in ``p = .012``; ``p < .001`` and ``p < .050`` where rounding would say more than there is."""
    if value < 0.001:
        return "p < .001"
    text = decimal(value)
    return "p < .050" if value < 0.05 and text == ".050" else f"p = {text}"


def percent(share: float | None) -> str:
    """Return a share 0-1 as in ``27.6 %``."""
    return NOT_ESTIMABLE if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def figure(value: float | int | None) -> str:
    """Return a whole number as it is, anything else as a decimal."""
    return f"{value:,}" if isinstance(value, int) else decimal(value)
