"""Every family of detectors, one line each; the catalog's models are these and the pretrained ones."""

from m2v.detectors.fusion.entry import Fusion
from m2v.detectors.probe.entry import Probe
from m2v.detectors.retrieval.entry import Retrieval
from m2v.detectors.text_lora.entry import Lora
from m2v.detectors.vlm_lora.entry import VlmLora

DETECTORS = (
    Probe,
    Lora,
    VlmLora,
    Fusion,
    Retrieval,
)
