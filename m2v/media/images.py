"""Memes' pictures as models see them: upright, RGB, of a bounded size, known by hashes."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from m2v import buckets, storage

# A picture of more than this is more likely an attack on memory than a meme.
MAX_PIXELS = 64_000_000
# The largest that a model here takes whole: four tiles of 560.
SIDE = 1120


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels_sha256: Of size and pixels, whatever file they came in.
        perceptual_hash: 64 bits as hex (pHash, Zauner 2010); pictures that look alike differ in few of them.
    """

    image: Image.Image
    width: int
    height: int
    pixels_sha256: str
    perceptual_hash: str


class NoPicture(Exception):
    """A picture that cannot be used; the reason is one of ``meme_images``' words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def below(root: storage.Place, name: str) -> Path:
    """The file that a table names, below the place of media; a local copy of one in object storage.

    Raises:
        NoPicture: The name leads out of the place, also by a link, or no file can have it, or there is no such file.
        StorageError: The object cannot be had.
    """
    if not isinstance(root, Path):
        return _object(root, name)
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise NoPicture("outside")
        is_there = path.is_file()
    except PermissionError:
        raise NoPicture("unreadable") from None
    except (OSError, ValueError, RuntimeError):
        # Too long, a NUL, a lone surrogate, a loop of links: no file has such a name.
        raise NoPicture("missing") from None
    if not is_there:
        raise NoPicture("missing")
    return path


def _object(root: str, name: str) -> Path:
    if _is_no_key(name):
        raise NoPicture("missing")
    address = buckets.inside(root, name)
    if address is None:
        raise NoPicture("outside")
    try:
        return storage.local(address, changes=True)
    except FileNotFoundError:
        raise NoPicture("missing") from None


def _is_no_key(name: str) -> bool:
    """Whether object storage has no such names: a NUL, what is no Unicode, more than 1,024 bytes."""
    try:
        return "\0" in name or len(name.encode()) > buckets.MAX_KEY_BYTES
    except UnicodeEncodeError:
        return True


def read(path: Path) -> Picture:
    """A picture, turned as its EXIF says, in RGB on white, its longer side at most 1,120.

    Of a moving one, the first frame.

    Raises:
        NoPicture: It is damaged, no picture, or too large.
    """
    import imagehash

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise NoPicture("too_large")
                # JPEG is decoded at half or a quarter of its size where that is enough.
                opened.draft("RGB", (SIDE, SIDE))
                upright = ImageOps.exif_transpose(opened)
                width, height = upright.size
                image = _on_white(upright)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise NoPicture("too_large") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
        # Pillow's readers raise all of these on damaged files.
        raise NoPicture("unreadable") from None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes()).hexdigest()
    return Picture(image, width, height, digest, str(imagehash.phash(image)))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB")
