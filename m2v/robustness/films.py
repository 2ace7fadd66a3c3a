"""A picture as a short film and back, harmless frames around frames, and a text that is spoken."""

import ctypes
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image

from m2v.errors import MissingSource
from m2v.media import frames

FPS, SECONDS = 8, 3
# At full strength; x264's scale ends at 51, and 23 is what it takes by itself.
WORST_QUALITY, BEST_QUALITY = 45, 18
# As espeak-ng's headers have them.
RETRIEVAL, CHARS_UTF8 = 1, 1
SPEECH_WAY_OUT = "pip install '.[voice]', which brings espeak-ng with its voices"


def filmed(picture: Image.Image, *, strength: float, draw: Random) -> Image.Image:
    """Return the middle frame of a film of three seconds that shows the picture, as the platform decodes films.

    Args:
        strength: Of the film's compression (H.264).
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = film(picture, Path(scratch) / "film.mp4", strength=strength)
        [frame] = frames.sample(path, 1, rule="even", side=max(picture.size))
    return frame.image.resize(picture.size) if frame.image.size != picture.size else frame.image


def film(picture: Image.Image, path: Path, *, strength: float) -> Path:
    """Write a film of three seconds that shows the picture; return its path."""
    import av

    even = picture.crop((0, 0, picture.width + picture.width % 2, picture.height + picture.height % 2))
    quality = round(BEST_QUALITY + strength * (WORST_QUALITY - BEST_QUALITY))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = even.width, even.height, "yuv420p"
        stream.options = {"crf": str(quality), "preset": "veryfast"}
        for _ in range(FPS * SECONDS):
            container.mux(stream.encode(av.VideoFrame.from_image(even)))
        container.mux(stream.encode())
    return path


def harmless_frames(pictures: Sequence[Image.Image], *, strength: float, draw: Random) -> list[Image.Image]:
    """Return as many frames, of which plain ones replace the first and the last: at full strength all but one.

    A detector that is shown a fixed number of frames sees fewer of the film when others stand around it.
    """
    n_kept = max(1, round(len(pictures) * (1 - strength)))
    first = (len(pictures) - n_kept) // 2
    kept = pictures[first : first + n_kept]
    colour = tuple(96 + int(96 * draw.random()) for _ in range(3))
    plain = [Image.new("RGB", picture.size, colour) for picture in pictures]
    return [*plain[:first], *kept, *plain[first + n_kept :]]


def spoken(text: str, path: Path, *, pause_s: float = 0.0) -> Path:
    """Write a text spoken by espeak-ng as a mono WAV file, with silence before and after it; return its path.

    Raises:
        MissingSource: espeak-ng is not installed; says how to get it.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingSource(
            f"Text is spoken by the package espeakng-loader, which is not here: {SPEECH_WAY_OUT}."
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate_hz = library.espeak_Initialize(RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate_hz <= 0 or library.espeak_SetVoiceByName(b"en-us"):
        raise MissingSource(f"espeak-ng finds no voice for English: {SPEECH_WAY_OUT}.")
    samples = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(wav, n_samples, _events):
        if wav and n_samples:
            samples.extend(ctypes.string_at(wav, 2 * n_samples))
        return 0

    library.espeak_SetSynthCallback(take)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        silence = bytes(2 * int(pause_s * rate_hz))
        file.writeframes(silence + bytes(samples) + silence)
    return path
