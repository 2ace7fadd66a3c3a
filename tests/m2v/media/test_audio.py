"""Sound as 16 kHz mono pieces, and its statistics against ones computed plainly."""

from pathlib import Path

import av
import numpy as np
import pytest
from scipy.fft import dct

from m2v.media import audio
from tests import films


def test_any_sound_becomes_16_khz_mono(tmp_path: Path) -> None:
    path = films.tone(tmp_path / "a.wav", seconds=2.5, hz=440, rate=44_100, channels=2)
    found = np.concatenate(list(audio.pieces(path, piece_s=1.0)))
    assert found.dtype == np.float32
    assert len(found) == pytest.approx(2.5 * 16_000, abs=50)
    spectrum = np.abs(np.fft.rfft(found[:16_000]))
    assert int(spectrum.argmax()) == 440


def test_pieces_are_even_but_for_the_last(tmp_path: Path) -> None:
    path = films.tone(tmp_path / "a.wav", seconds=2.5)
    assert [len(each) for each in audio.pieces(path, piece_s=1.0)][:2] == [16_000, 16_000]


def test_statistics_are_those_of_the_whole_sound(tmp_path: Path) -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    path = films.tone(tmp_path / "a.wav", seconds=1.0, hz=700)
    found = audio.statistics(path)
    samples = np.concatenate(list(audio.pieces(path)))
    filters = mel_filter_bank(201, 40, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    mels = spectrogram(
        samples, window_function(400, "hann"), 400, 160, power=2.0, center=False, mel_filters=filters, log_mel="log10"
    )
    cepstrum = dct(mels, type=2, axis=0, norm="ortho")[:13]
    np.testing.assert_allclose(found["mel_mean"], mels.mean(1), atol=1e-4)
    np.testing.assert_allclose(found["mel_std"], mels.std(1), atol=1e-3)
    np.testing.assert_allclose(found["mfcc_mean"], cepstrum.mean(1), atol=1e-3)
    np.testing.assert_allclose(found["mfcc_std"], cepstrum.std(1), atol=1e-3)
    assert found["duration_s"] == pytest.approx(1.0, abs=0.01)


def test_a_short_blip_has_statistics_too(tmp_path: Path) -> None:
    assert np.isfinite(audio.statistics(films.tone(tmp_path / "a.wav", seconds=0.01))["mel_mean"]).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("film", "no audio stream"), ("text", "unreadable"), ("missing", "missing"), ("silent", "empty")],
)
def test_what_has_no_sound_gives_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    paths = {
        "film": films.film(tmp_path / "film.mp4", n=3),
        "text": tmp_path / "text.wav",
        "missing": tmp_path / "missing.wav",
        "silent": films.tone(tmp_path / "silent.wav", seconds=0.0),
    }
    paths["text"].write_text("this is no sound", encoding="utf-8")
    with pytest.raises(audio.NoSound) as caught:
        audio.statistics(paths[name])
    assert caught.value.reason.startswith(reason)


def test_the_sound_of_a_video_is_found(tmp_path: Path) -> None:
    path = films.film(tmp_path / "film.mp4", n=20, with_sound=True)
    assert audio.statistics(path)["duration_s"] == pytest.approx(2.0, abs=0.1)
    with av.open(str(path)) as container:
        assert container.streams.audio
