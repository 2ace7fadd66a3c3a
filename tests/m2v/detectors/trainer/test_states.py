"""Which state a killed training goes on from, and which epoch it keeps."""

import json
from pathlib import Path

import numpy as np
import pytest

from m2v.detectors.trainer import states


def state(folder: Path, step: int, *, n_processes: int | None) -> Path:
    """A state; complete where it says of how many processes."""
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if n_processes is not None:
        states.mark_complete(path, n_processes=n_processes)
    return path


def test_the_newest_complete_state_of_as_many_processes_counts(tmp_path: Path) -> None:
    assert states.newest(tmp_path, n_processes=2) is None
    state(tmp_path, 9, n_processes=2)
    whole = state(tmp_path, 100, n_processes=2)
    state(tmp_path, 150, n_processes=1)  # DeepSpeed cannot load another number's shards
    state(tmp_path, 200, n_processes=None)  # torn
    assert states.newest(tmp_path, n_processes=2) == whole
    states.discard(tmp_path, but=whole)
    assert list(tmp_path.iterdir()) == [whole]
    states.discard(tmp_path, but=states.newest(tmp_path, n_processes=4))
    assert list(tmp_path.iterdir()) == []


class Adapter:
    """Stands where a model does; says which epoch's weights were written."""

    def save_pretrained(self, folder: str, *, state_dict: dict[str, int], **settings: bool) -> None:
        assert settings == {"safe_serialization": True, "save_embedding_layers": False}
        (Path(folder) / "weights").write_text(str(state_dict["epoch"]), encoding="utf-8")


LABELS = np.array([True, False, True, False])
RIGHT, WRONG, HALF = np.array([0.9, 0.1, 0.8, 0.2]), np.array([0.1, 0.9, 0.2, 0.8]), np.array([0.9, 0.1, 0.2, 0.8])


def keep(folder: Path, epoch: int, found: np.ndarray | None) -> None:
    labels = None if found is None else LABELS
    trained = {"epoch": epoch}
    states.keep_best(folder, epoch=epoch, model=Adapter(), trained=trained, labels=labels, probabilities=found)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("scored", "kept"),
    [
        ([(1, WRONG), (2, RIGHT), (3, HALF)], 2),  # the best
        ([(1, HALF), (2, HALF)], 1),  # of equals the earlier
        ([(1, None), (2, None)], 2),  # nothing to choose by: the last
        ([(1, HALF), (2, RIGHT), (2, RIGHT)], 2),  # scored again after a kill
        ([(1, HALF), (2, RIGHT), (1, HALF), (2, RIGHT)], 2),  # trained again from the start
    ],
)
def test_the_best_epoch_is_kept(tmp_path: Path, scored: list[tuple[int, np.ndarray | None]], kept: int) -> None:
    for epoch, found in scored:
        keep(tmp_path, epoch, found)
    best = json.loads((tmp_path / states.BEST).read_text(encoding="utf-8"))
    assert best["selection"]["epoch"] == kept
    assert (tmp_path / "weights").read_text(encoding="utf-8") == str(kept)
