"""Pictures as models see them: upright, RGB on white, bounded, known by hashes; and what no picture should be."""

import base64
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from m2v.media import images


def saved(path: Path, image: Image.Image, **settings) -> Path:
    image.save(path, **settings)
    return path


def halves() -> Image.Image:
    """White on the left, black on the right."""
    image = Image.new("RGB", (60, 40), "black")
    image.paste("white", (0, 0, 30, 40))
    return image


@pytest.mark.parametrize(("orientation", "light"), [(1, "left"), (3, "right"), (6, "top"), (8, "bottom")])
def test_pictures_are_turned_as_their_exif_says(tmp_path: Path, orientation: int, light: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = images.read(saved(tmp_path / "a.jpg", halves(), exif=exif, quality=95))
    pixels = np.asarray(found.image.convert("L"), dtype=float)
    height, width = pixels.shape
    sides = {
        "left": pixels[:, : width // 3],
        "right": pixels[:, -(width // 3) :],
        "top": pixels[: height // 3],
        "bottom": pixels[-(height // 3) :],
    }
    assert max(sides, key=lambda side: sides[side].mean()) == light
    assert (found.width, found.height) == ((60, 40) if orientation in {1, 3} else (40, 60))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "L", "1", "I;16"])
def test_every_mode_becomes_rgb_and_what_is_clear_becomes_white(tmp_path: Path, mode: str) -> None:
    if mode in {"RGBA", "LA"}:
        path = saved(tmp_path / "a.png", Image.new(mode, (8, 8), (0,) * len(mode)))
    elif mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        path = saved(tmp_path / "a.png", image, transparency=0)
    else:
        path = saved(tmp_path / ("a.tiff" if mode in {"CMYK", "I;16"} else "a.png"), Image.new(mode, (8, 8)))
    found = images.read(path)
    assert found.image.mode == "RGB"
    if mode in {"RGBA", "LA", "P"}:
        assert found.image.getpixel((4, 4)) == (255, 255, 255)


def test_equal_pixels_in_different_files_have_one_hash(tmp_path: Path) -> None:
    one = images.read(saved(tmp_path / "a.png", halves()))
    other = images.read(saved(tmp_path / "b.bmp", halves()))
    assert one.pixels_sha256 == other.pixels_sha256
    turned = images.read(saved(tmp_path / "c.png", halves().rotate(180)))
    assert turned.pixels_sha256 != one.pixels_sha256


def test_pictures_that_look_alike_have_perceptual_hashes_that_differ_in_few_bits(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    base = Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).resize((200, 200), Image.Resampling.BICUBIC)
    other = Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).resize((200, 200), Image.Resampling.BICUBIC)
    hashes = [
        images.read(saved(tmp_path / name, image, **settings)).perceptual_hash
        for name, image, settings in (
            ("a.png", base, {}),
            ("small.jpg", base.resize((90, 90)), {"quality": 40}),
            ("other.png", other, {}),
        )
    ]
    bits = [int(each, 16) for each in hashes]
    assert (bits[0] ^ bits[1]).bit_count() <= 6
    assert (bits[0] ^ bits[2]).bit_count() >= 16


def test_large_pictures_are_scaled_to_the_largest_that_a_model_takes(tmp_path: Path) -> None:
    found = images.read(saved(tmp_path / "a.png", Image.new("RGB", (3000, 1000))))
    assert found.image.size == (1120, 373)
    assert (found.width, found.height) == (3000, 1000)


def test_of_a_moving_picture_the_first_frame_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("RGB", (8, 8), "red").save(path, save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    assert images.read(path).image.getpixel((4, 4)) == (254, 0, 0) or images.read(path).image.getpixel((4, 4)) == (
        255,
        0,
        0,
    )


def bomb(path: Path) -> Path:
    """A PNG whose header says 60,000 × 60,000."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(
    ("name", "reason"), [("bomb", "too_large"), ("text", "unreadable"), ("empty", "unreadable"), ("torn", "unreadable")]
)
def test_what_is_no_picture_gives_a_reason(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / "a.png"
    content = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(content, "PNG")
    if name == "bomb":
        bomb(path)
    else:
        path.write_bytes({"text": b"no picture", "empty": b"", "torn": content.getvalue()[:2000]}[name])
    with pytest.raises(images.NoPicture) as caught:
        images.read(path)
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "link.png"])
def test_no_name_leads_out_of_the_media_folder(tmp_path: Path, name: str) -> None:
    media = tmp_path / "media"
    (media / "a").mkdir(parents=True)
    saved(tmp_path / "secret.png", halves())
    (media / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(images.NoPicture) as caught:
        images.below(media, name)
    assert caught.value.reason == "outside"


def steps(scale: float, dtype: type) -> np.ndarray:
    """Four grey steps, from black to white."""
    return np.repeat(np.linspace(0, 1, 4) * scale, 16).reshape(1, 64).repeat(32, 0).astype(dtype)


GREYS = {
    "16-bit.png": (steps(65535, np.uint16), [0, 85, 170, 255]),
    "16-bit.tiff": (steps(65535, np.uint16), [0, 85, 170, 255]),
    "32-bit.tiff": (steps(65535, np.int32), [0, 85, 170, 255]),
    "32-bit-wide.tiff": (steps(2**30, np.int32) - 2**29, [0, 85, 170, 255]),
    "share.tiff": (steps(1, np.float32), [0, 85, 170, 255]),
    "heights.tiff": (steps(3000, np.float32) - 100, [0, 85, 170, 255]),
    # Eight bits in a wider type were right and stay.
    "dark-16-bit.png": (steps(90, np.uint16), [0, 30, 60, 90]),
    "dark.tiff": (steps(90, np.float32), [0, 30, 60, 90]),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_of_more_than_eight_bits_keeps_its_steps(tmp_path: Path, name: str) -> None:
    values, expected = GREYS[name]
    found = np.asarray(images.read(saved(tmp_path / name, Image.fromarray(values))).image)
    assert found[16, 8::16, 0].tolist() == pytest.approx(expected, abs=1)
    assert (found[..., 0] == found[..., 1]).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_end_is_what_is_there_and_says_so(tmp_path: Path, progressive: bool) -> None:
    noise = Image.effect_noise((200, 200), 50).convert("RGB")
    content = saved(tmp_path / "a.jpg", noise, progressive=progressive).read_bytes()
    (tmp_path / "torn.jpg").write_bytes(content[: len(content) // 2])
    whole, torn = images.read(tmp_path / "a.jpg"), images.read(tmp_path / "torn.jpg")
    assert (whole.is_torn, torn.is_torn, torn.width, torn.height) == (False, True, 200, 200)
    upper = [np.asarray(each.image, dtype=float)[:80] for each in (whole, torn)]
    assert np.corrcoef(upper[0].ravel(), upper[1].ravel())[0, 1] > (0.5 if progressive else 0.99)


def test_a_jpeg_of_which_next_to_nothing_is_there_is_no_picture(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.jpg", Image.effect_noise((200, 200), 50).convert("RGB")).read_bytes()
    (tmp_path / "torn.jpg").write_bytes(content[: content.index(b"\xff\xda") + 14])
    with pytest.raises(images.NoPicture, match="unreadable"):
        images.read(tmp_path / "torn.jpg")


def test_long_texts_in_a_png_do_not_hide_the_picture(tmp_path: Path) -> None:
    plain = images.read(saved(tmp_path / "plain.png", halves()))
    texts = PngImagePlugin.PngInfo()
    texts.add_text("recipe", "leek " * 2**20, zip=True)
    texts.add_itxt("recipe", "beet " * 2**20, zip=True)
    found = images.read(saved(tmp_path / "a.png", halves(), pnginfo=texts))
    assert (found.pixels_sha256, found.is_torn) == (plain.pixels_sha256, False)


def test_what_starts_other_programs_is_no_picture(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.eps", halves())
    with pytest.raises(images.NoPicture, match="unreadable"):
        images.read(path)


# 64 × 48, white on the left and black on the right; by pillow-heif, which can write.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAAB4gABAAAAAAAAABgAAgAAAAAB+gABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xh"
    "cAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAA"
    "ABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAARG1kYXQAAAAUKAGvGYDuJEpdp+ipCx//wlBihPwAAAAGRXhpZgAATU0AKgAAAAgA"
    "AQESAAMAAAABAAYAAAAAAAA="
)


def test_what_telephones_write_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(base64.b64decode(HEIC))
    found = images.read(tmp_path / "a.heic")
    pixels = np.asarray(found.image.convert("L"), dtype=float)
    assert (found.width, found.height) == (64, 48)
    assert pixels[:, :26].mean() > 230
    assert pixels[:, -26:].mean() < 25
    (tmp_path / "torn.heic").write_bytes(base64.b64decode(HEIC)[:300])
    with pytest.raises(images.NoPicture, match="unreadable"):
        images.read(tmp_path / "torn.heic")


@pytest.mark.parametrize("kind", ["RGBA", "P"])
def test_what_is_clear_in_a_tall_picture_is_white_in_every_strip(tmp_path: Path, kind: str) -> None:
    array = np.zeros((3 * images.STRIP_PX + 7, 40, 4), np.uint8)
    array[:, 20:] = (200, 30, 30, 255)
    image = Image.fromarray(array)
    path = saved(tmp_path / "a.png", image if kind == "RGBA" else image.quantize(4))
    found = np.asarray(images.read(path).image)
    assert (found[:, :20] == 255).all()
    assert (found[:, 20:] == (200, 30, 30)).all()


def test_a_picture_just_below_the_limit_takes_little_memory(tmp_path: Path) -> None:
    """Measured in a process of its own; whole, it was in memory six times over, 1.5 GB."""
    path = saved(tmp_path / "a.png", Image.new("RGBA", (8000, 2000), (9, 9, 9, 9)), compress_level=1)
    program = (
        "import re, pathlib; from m2v.media import images; import imagehash; "
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]); "
        f"before = peak(); images.read(pathlib.Path({str(path)!r})); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 3 * 8000 * 2000 * 4 / 2**20


NO_FILE = [
    "a" * 256 + ".png",
    "a\0b.png",
    "loop.png",
    "loop/a.png",
    "a/" * 3000 + "b.png",
    "\ud800.png",
    "",
    ".",
    "file.png/a",
]


@pytest.mark.parametrize("name", NO_FILE)
def test_a_name_that_no_file_can_have_is_a_missing_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "loop").symlink_to("loop2")
    (tmp_path / "loop2").symlink_to("loop")
    saved(tmp_path / "file.png", halves())
    with pytest.raises(images.NoPicture, match="missing"):
        images.below(tmp_path, name)


@pytest.mark.parametrize("name", ["a" * 1100, "a\0b.png", "\ud800.png"])
def test_a_name_that_no_object_can_have_is_a_missing_picture(name: str) -> None:
    with pytest.raises(images.NoPicture, match="missing"):
        images.below("s3://no-bucket-is-asked", name)


def test_slashes_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", halves())
    assert images.below(tmp_path, "/".join(["."] * 10) + "/" * 5000 + "a.png") == path
