"""A file's sound: 16 kHz mono in pieces, and statistics of its mel spectrogram and cepstrum."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from m2v.errors import BadInput
from m2v.media import containers

RATE_HZ = 16_000
# Half a minute is 2 MB; three hours in one piece would be 700.
PIECE_S = 30.0
WINDOW, HOP, N_MELS, N_CEPSTRUM = 400, 160, 40, 13


class NoSound(BadInput):
    """A file without sound that can be decoded."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"{reason}; no sound of it can be decoded.")
        self.reason = reason


def pieces(path: Path, *, piece_s: float = PIECE_S) -> Iterator[np.ndarray]:
    """Yield the sound as pieces of (samples,), float32 between -1 and 1, 16 kHz mono; the last one is shorter.

    Raises:
        NoSound: There is none, or the file cannot be opened.
    """
    try:
        container = containers.opened(path)
    except containers.Unreadable as error:
        raise NoSound(path, error.reason) from None
    with container:
        stream = containers.main(container.streams.audio)
        if stream is None:
            raise NoSound(path, "no audio stream")
        size, held, n_held = int(piece_s * RATE_HZ), [], 0
        for samples in _resampled(container, stream):
            held.append(samples)
            n_held += len(samples)
            while n_held >= size:
                whole = np.concatenate(held)
                yield whole[:size]
                held, n_held = [whole[size:]], len(whole) - size
        if n_held:
            yield np.concatenate(held)


def _resampled(container: InputContainer, stream: AudioStream) -> Iterator[np.ndarray]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            break
        except FFmpegError:
            # A damaged packet is passed over, as players do.
            continue
        for frame in frames:
            yield from (chunk.to_ndarray().reshape(-1) for chunk in resampler.resample(frame))
    yield from (chunk.to_ndarray().reshape(-1) for chunk in resampler.resample(None))


def duration_s(path: Path) -> float:
    """Return how long the sound is that can be decoded, in seconds.

    Raises:
        NoSound: There is none.
    """
    n_samples = sum(len(samples) for samples in pieces(path))
    if not n_samples:
        raise NoSound(path, "empty")
    return n_samples / RATE_HZ


def statistics(path: Path) -> dict[str, np.ndarray | float]:
    """Mean and standard deviation over time, of log-mel energies and of the cepstrum.

    Mel filters as in Slaney's Auditory Toolbox, cepstrum by an orthonormal DCT-II of the log energies (Davis and
    Mermelstein 1980), windows of 25 ms each 10 ms.

    Returns:
        ``duration_s``; ``mel_mean`` and ``mel_std`` (40,); ``mfcc_mean`` and ``mfcc_std`` (13,); float64.

    Raises:
        NoSound: There is none.
    """
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    filters = mel_filter_bank(WINDOW // 2 + 1, N_MELS, 0.0, RATE_HZ / 2, RATE_HZ, norm="slaney", mel_scale="slaney")
    window = window_function(WINDOW, "hann")
    transform = _dct()
    sums = {name: np.zeros(size) for name, size in (("mel", N_MELS), ("mfcc", N_CEPSTRUM))}
    squares = {name: np.zeros_like(total) for name, total in sums.items()}
    n_windows, n_samples = 0, 0
    for samples in pieces(path):
        n_samples += len(samples)
        piece = np.pad(samples, (0, max(0, WINDOW - len(samples))))
        log_mel = spectrogram(
            piece,
            window,
            frame_length=WINDOW,
            hop_length=HOP,
            power=2.0,
            center=False,
            mel_filters=filters,
            mel_floor=1e-10,
            log_mel="log10",
        )
        # In single precision the difference of squares below would be noise.
        log_mel = log_mel.astype(np.float64)
        for name, values in (("mel", log_mel), ("mfcc", transform @ log_mel)):
            sums[name] += values.sum(1)
            squares[name] += (values**2).sum(1)
        n_windows += log_mel.shape[1]
    if not n_samples:
        raise NoSound(path, "empty")
    by_name: dict[str, np.ndarray | float] = {"duration_s": n_samples / RATE_HZ}
    for name, total in sums.items():
        mean = total / n_windows
        by_name[f"{name}_mean"] = mean
        by_name[f"{name}_std"] = np.sqrt(np.maximum(squares[name] / n_windows - mean**2, 0.0))
    return by_name


def _dct() -> np.ndarray:
    """Return the first rows of the orthonormal DCT-II, (cepstrum, mels)."""
    rows, columns = np.arange(N_CEPSTRUM)[:, None], np.arange(N_MELS)[None, :]
    matrix = np.sqrt(2 / N_MELS) * np.cos(np.pi * rows * (columns + 0.5) / N_MELS)
    matrix[0] /= np.sqrt(2)
    return matrix
