"""A picture goes into a film and comes back; frames make room for harmless ones; a text is spoken and heard."""

from pathlib import Path

import numpy as np
from PIL import Image

from m2v.media import audio, speech
from m2v.programs.progress import quiet
from m2v.robustness import films
from tests.m2v.media.test_readers import TINY
from tests.m2v.robustness.test_pictures import bed
from tests.m2v.robustness.test_texts import drawn


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_a_picture_comes_back_from_a_film_with_the_film_s_losses() -> None:
    picture = bed().crop((0, 0, 159, 119))  # odd, which H.264 has no room for
    weak, strong = (films.filmed(picture, strength=strength, draw=drawn(0)) for strength in (0.0, 1.0))
    assert weak.size == strong.size == picture.size
    assert 0 < difference(picture, weak) < difference(picture, strong) < 20


def test_harmless_frames_stand_around_what_is_left() -> None:
    shown = [Image.new("RGB", (8, 8), (place, 0, 0)) for place in range(4)]
    changed = films.harmless_frames(shown, strength=0.5, draw=drawn(0))
    assert changed[1:3] == shown[1:3]
    assert changed[0] == changed[3] != shown[0]
    assert [frame in shown for frame in films.harmless_frames(shown, strength=1, draw=drawn(0))].count(True) == 1
    assert films.harmless_frames(shown, strength=0, draw=drawn(0)) == shown


def test_what_is_spoken_is_heard(tmp_path: Path) -> None:
    path = films.spoken("The carrots went to the market this morning.", tmp_path / "said.wav")
    assert sum(len(piece) for piece in audio.pieces(path)) > audio.RATE_HZ
    longer = films.spoken("The carrots.", tmp_path / "pause.wav", pause_s=1)
    assert longer.stat().st_size > films.spoken("The carrots.", tmp_path / "none.wav").stat().st_size
    [heard] = speech.transcribe({"a": path}, model=TINY, home=tmp_path, report=quiet()).values()
    assert "carrots went to the market" in heard.transcript.lower()
