"""Memes' pictures as models see them: upright, RGB, of a bounded size, known by hashes."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from m2v.files import buckets, storage

# A picture of more than this is more likely an attack on memory than a meme.
MAX_PIXELS = 64_000_000
# The largest that a model here takes whole: four tiles of 560.
SIDE = 1120
# What people keep pictures in; for some of the rest Pillow would start other programs.
FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "ICO", "PPM", "JPEG2000", "TGA", "PCX", "PSD",
)  # fmt: skip
# Rows that are put on white at a time.
STRIP_PX = 256
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Grey, where a JPEG has no data.
FILL = 128
# Brands of pictures in HEVC, after which AVIF may come all the same.
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
PNG_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
# Larger files are not read a second time.
MAX_MENDED_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels_sha256: Of size and pixels, whatever file they came in.
        perceptual_hash: 64 bits as hex (pHash, Zauner 2010); pictures that look alike differ in few of them.
        is_torn: The file ends before the picture does.
    """

    image: Image.Image
    width: int
    height: int
    pixels_sha256: str
    perceptual_hash: str
    is_torn: bool = False


class NoPicture(Exception):
    """A picture that cannot be used; the reason is one of ``meme_images``' words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def below(root: storage.Place, name: str) -> Path:
    """Return the file that a table names, below the place of media; a local copy of one in object storage.

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
    """Return a picture, turned as its EXIF says, in RGB on white, its longer side at most 1,120.

    Of a moving one, the first frame. Of a JPEG that ends too early, what is there, on grey, as browsers show it.

    Raises:
        NoPicture: It is damaged, no picture, or too large.
    """
    import imagehash

    is_torn = False
    try:
        try:
            image, width, height = _decoded(path)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
            mended = _mended(path)
            if mended is None:
                raise
            image, width, height = _decoded(io.BytesIO(mended))
            is_torn = mended.startswith(JPEG)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError):
        raise NoPicture("too_large") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
        # Pillow's readers raise all of these on damaged files.
        raise NoPicture("unreadable") from None
    if is_torn and min(image.histogram()[FILL::256]) > 0.99 * image.width * image.height:
        # Next to nothing of it is there.
        raise NoPicture("unreadable")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode() + image.tobytes()).hexdigest()
    return Picture(image, width, height, digest, str(imagehash.phash(image)), is_torn)


def _decoded(file: Path | io.BytesIO) -> tuple[Image.Image, int, int]:
    """Return the picture upright, in RGB on white, and its size."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=_formats(file)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise NoPicture("too_large")
            # JPEG is decoded at half or a quarter of its size where that is enough.
            opened.draft("RGB", (SIDE, SIDE))
            # In place: what is upright already is not copied.
            ImageOps.exif_transpose(opened, in_place=True)
            return _on_white(_eight_bit(opened)), opened.width, opened.height


def _formats(file: Path | io.BytesIO) -> tuple[str, ...]:
    """Return the formats that a file may have; what telephones write takes a package, imported for it alone."""
    if isinstance(file, io.BytesIO):
        return FORMATS
    with file.open("rb") as opened:
        start = opened.read(12)
    if start[4:8] != b"ftyp" or start[8:12] not in HEIC:
        return FORMATS
    import pi_heif

    pi_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def _mended(path: Path) -> bytes | None:
    """Return the file as browsers read it, where Pillow refuses more than they do; None where nothing is known to mend.

    A JPEG gets the end that it lacks. A PNG loses its texts, which Pillow refuses when they are long.
    """
    content = path.read_bytes() if path.stat().st_size <= MAX_MENDED_BYTES else b""
    if content.startswith(JPEG):
        return content + b"\xff\xd9"
    if not content.startswith(PNG):
        return None
    kept, place, has_texts = [PNG], len(PNG), False
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] in PNG_TEXTS:
            has_texts = True
        else:
            kept.append(content[place:end])
        place = end
    return b"".join(kept) if has_texts else None


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return the picture itself, or of a grey one with more than eight bits, the same grey in eight.

    Values up to 255 stay, values up to 65,535 are shares of that; floating point up to 1 is shares of 1; of any others
    the least is black and the greatest white.
    """
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65_535:
        values = (values - low) * (255 / (high - low or 1))
    elif high > 255:
        values = values / 257
    elif image.mode == "F" and high <= 1:
        values = values * 255
    return Image.fromarray(values.round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, what is clear in it white.

    In strips: whole, a picture just below the limit would be in memory six times over.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image.copy()
    whole = Image.new("RGB", image.size)
    image.load()
    for top in range(0, image.height, STRIP_PX):
        box = (0, top, image.width, min(top + STRIP_PX, image.height))
        strip = image.crop(box)
        strip.info = image.info
        if strip.mode in {"RGBA", "LA", "PA"} or "transparency" in strip.info:
            seen = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
        whole.paste(strip.convert("RGB"), box)
    return whole


def perceptual_hash(path: Path) -> str:
    """Return the pHash (Zauner 2010) of a picture that we decoded ourselves, 16 hexadecimal digits."""
    import imagehash

    with Image.open(path) as image:
        return str(imagehash.phash(image))
