"""What somebody runs who has a release and none of our homes."""

import json
import os
import subprocess
import sys
from typing import Any

READ_BACK = """
import json, sys
import datasets
found = {}
for name in sys.argv[3:]:
    loaded = datasets.load_dataset(sys.argv[1], name, revision=sys.argv[2])
    found[name] = {split: rows.to_list() for split, rows in loaded.items()}
print(json.dumps(found))
"""

LOAD_ADAPTER = """
import json, sys
# A stranger's environment: without torchvision, which needs m2v where its compiled operators do not load.
sys.modules["torchvision"] = None
import torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from transformers import AutoModel
from m2v.detectors.text_lora.classifier import TextClassifier
base = AutoModel.from_pretrained(sys.argv[3])
folder = snapshot_download(sys.argv[1], revision=sys.argv[2])
model = PeftModel.from_pretrained(TextClassifier(base), folder).eval()
with torch.no_grad():
    said = model(input_ids=torch.arange(1000, 1012).reshape(2, 6), attention_mask=torch.ones(2, 6, dtype=torch.long))
print(json.dumps({"logits": said["logits"].tolist(), "folder": folder}))
"""


def python(program: str, *arguments: str, env: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
