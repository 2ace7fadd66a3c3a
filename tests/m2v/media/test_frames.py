"""Frames at exact times, against a decoder that reads the whole file; and files that no camera would write."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from m2v.media import audio, frames
from tests import films


def whole(path: Path, times: list[float]) -> list[np.ndarray]:
    """The plain way: decode everything, take what is on screen at each time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        start = float((stream.start_time or 0) * stream.time_base)
        found = [
            (float(each.pts * stream.time_base) - start, each.to_ndarray(format="rgb24"))
            for each in container.decode(stream)
        ]
    return [
        max((each for each in found if each[0] <= time + 1e-6), default=found[0], key=lambda each: each[0])[1]
        for time in times
    ]


def middles(seconds: float, n: int) -> list[float]:
    return [seconds * (place + 0.5) / n for place in range(n)]


def colours(found: list[frames.Frame]) -> list[np.ndarray]:
    return [np.asarray(each.image).reshape(-1, 3).mean(0) for each in found]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("h264.mp4", {}),
        ("one-keyframe.mp4", {"gop": 1000}),
        ("all-keyframes.mp4", {"gop": 1}),
        ("no-b-frames.mp4", {"bframes": 0}),
        ("h264.mkv", {}),
        ("h264.ts", {}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("ten-bit.mp4", {"pixels": "yuv420p10le"}),
        ("with-sound.mp4", {"with_sound": True}),
    ],
)
@pytest.mark.parametrize("n", [1, 4, 16])
def test_frames_found_by_seeking_are_those_of_the_whole_file(tmp_path: Path, name: str, settings: dict, n: int) -> None:
    path = films.film(tmp_path / name, **settings)
    found = frames.sample(path, n, rule="even", side=96)
    assert len(found) == n
    seconds = frames.probe(path).duration_s
    for one, other in zip(colours(found), whole(path, middles(seconds, n)), strict=True):
        np.testing.assert_allclose(one, other.reshape(-1, 3).mean(0), atol=3)


@pytest.mark.parametrize("rule", ["even", "shots", "keyframe", "paper"])
@pytest.mark.parametrize("n", [1, 5, 16])
def test_there_are_as_many_frames_as_asked_for_of_any_clip_and_in_order(
    tmp_path: Path, rule: frames.Rule, n: int
) -> None:
    for length in (1, 3, 40):
        path = films.film(tmp_path / f"{length}.mp4", n=length)
        found = frames.sample(path, n, rule=rule)
        assert len(found) == n
        times = [each.time_s for each in found]
        assert times == sorted(times)
        assert all(0 <= time <= length / 10 for time in times)


def test_a_container_without_durations_or_an_index_gives_all_frames(tmp_path: Path) -> None:
    mp4 = films.film(tmp_path / "a.mp4", bframes=0)
    raw = tmp_path / "raw.h264"
    with av.open(str(mp4)) as source, av.open(str(raw), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    assert len(frames.sample(raw, 8, rule="even")) == 8


def test_every_long_shot_is_seen_and_no_frame_is_at_a_cut(tmp_path: Path) -> None:
    # Three shots: 40, 21 and 39 of 100 frames.
    def colour(place: int) -> tuple[int, int, int]:
        return (200, 40, 40) if place < 40 else (40, 200, 40) if place < 61 else (40, 40, 200)

    path = films.film(tmp_path / "shots.mp4", n=100, colour=colour, gop=60, finds_cuts=True)
    found = [tuple(int(value) for value in each.round(-1)) for each in colours(frames.sample(path, 4, rule="shots"))]
    assert len({max(range(3), key=lambda channel: each[channel]) for each in found}) == 3
    even = colours(frames.sample(path, 4, rule="even"))
    assert len({int(each.argmax()) for each in even}) == 2


def test_the_papers_rule_skips_frames_of_one_colour(tmp_path: Path) -> None:
    path = tmp_path / "fade.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for place in range(20):
            array = np.full((64, 96, 3), 20, np.uint8) if place < 7 else random.integers(0, 255, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    (found,) = frames.sample(path, 1, rule="paper", variance=100)
    assert found.time_s == pytest.approx(0.7)
    (last,) = frames.sample(path, 1, rule="paper", variance=1e9)
    assert last.time_s == pytest.approx(1.9)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_video_is_turned_upright(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "rotated.mp4"
    films.film(path, n=1, size=(96, 64), rotation=degrees)
    (found,) = frames.sample(path, 1)
    assert found.image.size == ((96, 64) if degrees == 180 else (64, 96))


def test_which_way_a_rotated_video_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        array = np.zeros((64, 96, 3), np.uint8)
        array[:, :48] = 255  # light on the left
        container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    films._rotate(path, 90)
    (found,) = frames.sample(path, 1)
    pixels = np.asarray(found.image.convert("L"), dtype=float)
    # The matrix (0, 1; -1, 0) turns clockwise when shown: what was on the left is at the top.
    assert pixels[:48].mean() > 200
    assert pixels[48:].mean() < 50


def test_frames_are_scaled_to_a_longer_side_and_never_up(tmp_path: Path) -> None:
    vertical = films.film(tmp_path / "vertical.mp4", n=2, size=(240, 480))
    assert frames.sample(vertical, 1, side=120)[0].image.size == (60, 120)
    assert frames.sample(vertical, 1, side=2000)[0].image.size == (240, 480)


def broken(tmp_path: Path) -> dict[str, Path]:
    film = films.film(tmp_path / "film.mp4")
    paths = {name: tmp_path / f"{name}.mp4" for name in ("empty", "half", "text", "no-frames")}
    paths["empty"].write_bytes(b"")
    paths["half"].write_bytes(film.read_bytes()[: film.stat().st_size // 3])
    paths["text"].write_text("this is no video", encoding="utf-8")
    with av.open(str(paths["no-frames"]), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    paths["sound"] = films.tone(tmp_path / "sound.wav")
    paths["missing"] = tmp_path / "missing.mp4"
    return paths


@pytest.mark.parametrize("name", ["empty", "half", "text", "no-frames", "sound", "missing"])
def test_what_has_no_frames_gives_a_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(frames.NoFrames) as caught:
        frames.sample(broken(tmp_path)[name], 4)
    assert caught.value.reason
    assert str(tmp_path) in str(caught.value)


def test_a_torn_tail_and_damaged_bytes_give_as_many_frames_all_the_same(tmp_path: Path) -> None:
    path = films.film(tmp_path / "film.mkv", n=80)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(content)
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(content[: len(content) * 2 // 3])
    for each in (damaged, torn):
        assert len(frames.sample(each, 16, rule="even")) == 16


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Measured in processes of their own: 2 seconds and a minute and a half of 640 × 360."""
    peaks = []
    for n in (20, 900):
        path = films.film(tmp_path / f"{n}.mp4", n=n, size=(640, 360), gop=250)
        program = (
            "import sys, re, pathlib; from m2v.media import frames; "
            f"frames.sample(pathlib.Path({str(path)!r}), 16, rule='even'); "
            "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 25


DENSE_THEN_SLOW = [place / 30 for place in range(120)] + [4 + place * 0.5 for place in range(12)]
SLOW_THEN_DENSE = [place * 0.5 for place in range(12)] + [6 + place / 30 for place in range(120)]
BURST = [place / 60 for place in range(240)] + [4.0, 5.0, 6.0, 7.0]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("times", [DENSE_THEN_SLOW, SLOW_THEN_DENSE, BURST], ids=["slower", "faster", "burst"])
def test_frames_at_varying_rates_are_found_up_to_the_last_one(tmp_path: Path, name: str, times: list[float]) -> None:
    path = films.shown_at(tmp_path / name, times)
    seconds = frames.probe(path).duration_s
    assert times[-1] < seconds <= times[-1] + 1.1
    found = frames.sample(path, 16, rule="even")
    expected = [max(time for time in times if time <= middle + 1e-3) for middle in middles(seconds, 16)]
    assert [each.time_s for each in found] == pytest.approx(expected, abs=2e-3)


def test_a_header_that_says_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.mkv", n=80)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2 < frames.probe(path).duration_s < 6
    assert len({each.time_s for each in frames.sample(path, 16, rule="even")}) == 16


def test_a_codec_that_nobody_knows_is_a_reason(tmp_path: Path) -> None:
    path = films.film(tmp_path / "leek.mp4", with_sound=True)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(frames.NoFrames, match="audio only"):
        frames.sample(path, 3)


def test_a_title_in_an_old_encoding_does_not_hide_the_film(tmp_path: Path) -> None:
    made = films.film(tmp_path / "made.mkv", with_sound=True)
    path = tmp_path / "leek.mkv"
    with av.open(str(made)) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "Xauch XXber Lauch"
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    content = path.read_bytes()
    assert b"Xauch XXber" in content
    path.write_bytes(content.replace(b"Xauch XXber", "Lauch über".encode("latin-1") + b" "))
    assert len(frames.sample(path, 3)) == 3
    assert sum(len(piece) for piece in audio.pieces(path)) > 0


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_cover_before_the_film_is_not_the_film(tmp_path: Path, name: str) -> None:
    cover = films.film(tmp_path / "cover.mkv", n=1, codec="mjpeg", pixels="yuvj420p", size=(32, 32))
    film = films.film(tmp_path / "film.mp4", n=20)
    path = films.with_streams(tmp_path / name, [cover, film], [Disposition.attached_pic, Disposition.default])
    found = frames.sample(path, 4, rule="even")
    assert [each.image.size for each in found] == [(96, 64)] * 4
    assert len({each.time_s for each in found}) == 4


def test_a_sound_with_a_cover_is_a_sound(tmp_path: Path) -> None:
    cover = films.film(tmp_path / "cover.mkv", n=1, codec="mjpeg", pixels="yuvj420p", size=(32, 32))
    path = films.with_streams(tmp_path / "a.mp4", [cover], [Disposition.attached_pic])
    with pytest.raises(frames.NoFrames, match="no video stream"):
        frames.sample(path, 4)


def test_of_two_films_the_default_one_is_shown(tmp_path: Path) -> None:
    first = films.film(tmp_path / "first.mp4", n=20, size=(32, 32))
    second = films.film(tmp_path / "second.mp4", n=20)
    path = films.with_streams(tmp_path / "a.mkv", [first, second], [Disposition(0), Disposition.default])
    assert frames.sample(path, 1)[0].image.size == (96, 64)
    path = films.with_streams(tmp_path / "b.mkv", [first, second], [Disposition.default, Disposition(0)])
    assert frames.sample(path, 1)[0].image.size == (32, 32)


@pytest.mark.parametrize(("aspect", "shape"), [((2, 1), (96, 32)), ((1, 2), (48, 64)), ((1, 1), (96, 64))])
def test_samples_that_are_not_square_are_shown_square(
    tmp_path: Path, aspect: tuple[int, int], shape: tuple[int, int]
) -> None:
    path = films.film(tmp_path / "a.mp4", n=2, aspect=Fraction(*aspect))
    assert frames.sample(path, 1)[0].image.size == shape


@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.mkv"])
@pytest.mark.parametrize("kind", ["hls", "concat", "sdp"])
def test_what_names_other_files_is_not_followed(tmp_path: Path, name: str, kind: str) -> None:
    other = films.film(tmp_path / "other.ts")
    script = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\nfile://{other}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {other.name}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    }[kind]
    (tmp_path / name).write_text(script, encoding="utf-8")
    with pytest.raises(frames.NoFrames, match="unreadable"):
        frames.sample(tmp_path / name, 2)
    with pytest.raises(audio.NoSound, match="unreadable"):
        next(audio.pieces(tmp_path / name))
