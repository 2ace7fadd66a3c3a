"""What a generated answer says."""

import re
from typing import Literal

from m2v.entries.datasets import LabelDefinition

Outcome = Literal["positive", "negative", "refused", "unparsed"]
MAX_NEW_TOKENS = 25
REFUSAL = re.compile(r"\b(sorry|cannot|can't|can not|unable|won't|not able|as an ai)\b", re.IGNORECASE)


def parsed(text: str, *, label: LabelDefinition) -> Outcome:
    """One of the two words alone, whatever its case and the marks around it.

    Anything else is no label: an answer that says it will not is "refused", the rest is "unparsed".
    """
    word = text.strip().strip("\"'`*.!:;,()[] \n\t").casefold()
    if word == label.positive.casefold():
        return "positive"
    if word == label.negative.casefold():
        return "negative"
    return "refused" if REFUSAL.search(text) else "unparsed"
