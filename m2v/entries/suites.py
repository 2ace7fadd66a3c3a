"""What an evaluation suite may say: tasks on datasets of memes, each with its own definition of the label."""

from collections import Counter
from typing import Literal, Self

from pydantic import Field, model_validator

from m2v.entries.base import Entry, EntryPart, Name
from m2v.entries.datasets import LabelDefinition

Metric = Literal["macro_f1", "accuracy", "f1"]
SplitName = Literal["train", "validation", "test"]


class FacetMapping(EntryPart):
    """How a facet's values become a task's label.

    Attributes:
        positive: Values that make an item positive.
        negative: And negative; absent: every other value. Items whose values are of neither kind, or of both, are left
            out of the task.
    """

    facet: Name
    positive: tuple[str, ...] = Field(min_length=1)
    negative: tuple[str, ...] | None = None


class SuiteTask(EntryPart):
    """One task of a suite.

    Attributes:
        dataset: Of memes.
        mapping: What of the dataset's facets is the label; absent: the dataset's own label.
        label: The definition under which the model is asked.
        metric: By which it is scored.
    """

    name: Name
    dataset: Name
    split: SplitName = "test"
    mapping: FacetMapping | None = None
    label: LabelDefinition
    metric: Metric = "macro_f1"


class Suite(Entry):
    """Tasks that models are scored on side by side."""

    tasks: tuple[SuiteTask, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        name, n = Counter(task.name for task in self.tasks).most_common(1)[0]
        if n > 1:
            raise ValueError(f"tasks: {n} tasks are called {name!r}; give each its own name")
        return self


class SuitePlan(EntryPart):
    """Which models of vision and language a study asks a suite.

    Attributes:
        transfer: Ask each model about a task's items under the definitions of the other tasks too.
        pictures: False shows models texts only.
        mode: ``score``: the likelier of the two words; ``generate``: what it writes, strictly read.
    """

    suite: Name
    models: tuple[Name, ...] = Field(min_length=1)
    prompt: Name = "defined"
    transfer: bool = True
    pictures: bool = True
    mode: Literal["score", "generate"] = "score"
