"""What the program that asks is told, and what it keeps of each answer."""

from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from m2v.entries.datasets import LabelDefinition
from m2v.entries.pretrained import Vlm
from m2v.entries.prompts import Prompt, Server

ANSWERS = {"request_sha256": pl.String, "probability": pl.Float64, "outcome": pl.String}


class PredictionTask(BaseModel):
    """What is asked of which model, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Vlm
    prompt: Prompt
    label: LabelDefinition
    mode: Literal["score", "generate"] = "score"
    adapter: Path | None = None
    server: Server | None = None
    home: Path
