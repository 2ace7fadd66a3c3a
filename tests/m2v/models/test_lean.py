"""What programs import, and when: nothing of torch before it is needed, and nothing that torch's friends only offer."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from m2v.files.checkout import CHECKOUT


def run(script: str, *arguments: str) -> str:
    """Run a script in a Python of its own; return what it prints."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout


HIDES = """
    import gc, importlib.util, sys
    from m2v.models import lean
    import scipy
    try:
        with lean.imports():
            assert not gc.isenabled()
            for name in ("bitsandbytes", "datasets", "sklearn"):
                assert importlib.util.find_spec(name) is None
                try:
                    __import__(name)
                except ImportError:
                    continue
                raise AssertionError(name)
            # What was there already stays.
            assert importlib.util.find_spec("scipy")
            with lean.imports(quantisation="4bit"):
                pass
            raise KeyError("leeks")
    except KeyError:
        pass
    assert gc.isenabled()
    for name in ("bitsandbytes", "datasets", "sklearn"):
        assert importlib.util.find_spec(name), name
    import sklearn.metrics
    with lean.imports(quantisation="4bit"):
        assert importlib.util.find_spec("bitsandbytes")
    print("well")
"""


def test_what_is_hidden_is_there_again_afterwards() -> None:
    assert run(HIDES) == "well\n"


TRAINS = """
    import sys
    from m2v.models import lean
    with lean.imports(quantisation=sys.argv[1]):
        from m2v.detectors.text_lora import texts
        from m2v.detectors.trainer import processes
        from m2v.detectors.vlm_lora import conversations
    print(*sorted({"bitsandbytes", "datasets", "peft", "torch"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(("quantisation", "expected"), [("none", "peft torch"), ("4bit", "bitsandbytes peft torch")])
def test_a_training_imports_what_it_uses(quantisation: str, expected: str) -> None:
    assert run(TRAINS, quantisation).splitlines()[-1] == expected


FINISHED = """
    import sys
    from importlib import import_module
    from m2v.programs import contract
    from pathlib import Path
    out, module = Path(sys.argv[1]), import_module(sys.argv[2])
    (out / "spec.json").write_text("{}")
    contract.finish(out, files=[], packages=[])
    sys.argv = ["program", "--spec", str(out / "spec.json"), "--out", str(out)]
    module.main()
    print(*sorted({"torch", "transformers"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "module",
    [
        *("m2v.features.program", "m2v.media.videos", "m2v.media.pictures", "m2v.prediction.predict"),
        "m2v.detectors.program",
    ],
)
def test_a_finished_folder_is_found_without_torch(tmp_path: Path, module: str) -> None:
    assert run(FINISHED, str(tmp_path), module) == "\n"
