"""What every task of this family is given."""

from m2v.detectors.family import Task
from m2v.detectors.vlm_lora.entry import VlmLora
from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt


def parts(task: Task) -> tuple[VlmLora, Vlm, Prompt, LabelDefinition]:
    """Return the model, what it stands on, what it is asked, and the target's words."""
    assert isinstance(task.model, VlmLora)
    assert isinstance(task.base, Vlm)
    assert task.prompt
    assert task.label
    return task.model, task.base, task.prompt, task.label
