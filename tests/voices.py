"""A voice: sentences spoken by espeak-ng, as files of sound."""

import ctypes
import wave
from pathlib import Path

# As espeak-ng's headers have them.
RETRIEVAL, CHARS_UTF8 = 1, 1


def speak(sentence: str, path: Path, *, pause_s: float = 0.0) -> Path:
    """Write a sentence as a mono WAV file, with silence before and after it, and return its path."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate_hz = library.espeak_Initialize(RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
    assert rate_hz > 0
    library.espeak_SetVoiceByName(b"en-us")
    samples = bytearray()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(wav, n_samples, _events):
        if wav and n_samples:
            samples.extend(ctypes.string_at(wav, 2 * n_samples))
        return 0

    library.espeak_SetSynthCallback(take)
    text = sentence.encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    silence = bytes(2 * int(pause_s * rate_hz))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(silence + bytes(samples) + silence)
    return path
