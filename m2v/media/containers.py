"""Media files as they are opened: real containers, each from its own local file; and which of their streams counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition, Stream

# What holds pictures or sound itself. Playlists and scripts (HLS, DASH, ffconcat, SDP) name other files or hosts, and
# numbered pictures are found by a pattern; FFmpeg would follow them wherever they lead.
FORMATS = (
    "mov", "matroska", "avi", "asf", "flv", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "av1", "obu", "ivf",
    "ogg", "rm", "mxf", "nut", "gif", "dv", "wtv", "y4m", "yuv4mpegpipe", "mjpeg",
    "wav", "w64", "mp3", "aac", "ac3", "eac3", "flac", "amr", "aiff", "caf", "au", "ape", "wv", "tta",
)  # fmt: skip
# Pictures beside the film.
BESIDE = Disposition.attached_pic | Disposition.timed_thumbnails

AnyStream = TypeVar("AnyStream", bound=Stream)


class Unreadable(Exception):
    """A file that cannot be opened; the reason is a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def opened(path: Path) -> InputContainer:
    """Open a file for reading.

    Raises:
        Unreadable: It is missing, damaged, or of a kind that is not read.
    """
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        # Titles are in whatever encoding somebody's program wrote.
        return av.open(str(path), container_options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise Unreadable("missing") from None
    except ArgumentError:
        raise Unreadable("unreadable (a playlist, or another kind of file that is not read)") from None
    except (FFmpegError, OSError) as error:
        raise Unreadable(f"unreadable ({type(error).__name__})") from None


def main(streams: Sequence[AnyStream]) -> AnyStream | None:
    """Return the stream that players show: the first one marked as default, else the first; never a cover.

    One in a codec that nothing here decodes is none.
    """
    # PyAV gives such a stream no context, and looks at its disposition through it.
    known = [stream for stream in streams if getattr(stream, "codec_context", None) is not None]
    shown = [stream for stream in known if not stream.disposition & BESIDE]
    return next((stream for stream in shown if stream.disposition & Disposition.default), shown[0] if shown else None)
