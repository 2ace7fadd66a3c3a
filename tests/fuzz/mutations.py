"""Honest files, and what becomes of them on the way or in the hands of somebody who means harm."""

import io
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

# What formats mean something by, what ends a reader's patience, and what no text should hold.
TOKENS = [
    *(b'"', b"'", b",", b"\t", b"\n", b"\r\n", b";", b"{", b"}", b"[", b"]", b":", b"- ", b"&a ", b"*a", b"<<: "),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xb2\x80", b"null", b"true", b"NaN", b"1e999", b"-1", b"2024-13-45"),
    *(b"../", b"/etc/passwd", b"!!python/object/apply:os.system ", b"\xe2\x80\xae", b"\x1b[2J", b"9" * 400),
]
edits = st.tuples(
    st.sampled_from(["insert", "set", "delete", "copy", "cut"]),
    st.integers(0, 1 << 20),
    st.integers(1, 200),
    st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=4)),
)


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of the files with up to six changes."""
    content = draw(st.sampled_from(list(seeds)))
    for kind, where, n, token in draw(st.lists(edits, max_size=6)):
        place = where % (len(content) + 1)
        head, tail = content[:place], content[place:]
        if kind == "insert":
            content = head + token + tail
        elif kind == "set":
            content = head + token + tail[len(token) :]
        elif kind == "delete":
            content = head + tail[n:]
        elif kind == "copy":
            content = head + tail[:n] * 2 + tail[n:]
        else:
            content = head
    return content


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["positive", "negative", "harmful", "\ud800", "=1+1", "\x1b]0;x", "a" * 5000]),
)
# Anything that JSON can say.
plain = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def shaken(draw: st.DrawFn, honest: Any) -> Any:
    """Draw plain data like ``honest``, of which some parts are anything."""
    if draw(st.integers(0, 5)) == 0:
        return draw(plain)
    if isinstance(honest, dict):
        kept = {key: draw(shaken(value)) for key, value in honest.items() if draw(st.integers(0, 9)) > 0}
        return kept | draw(st.dictionaries(st.text(max_size=6), plain, max_size=1))
    if isinstance(honest, list):
        return [draw(shaken(value)) for value in honest for _ in range(draw(st.sampled_from([1, 1, 1, 0, 2])))]
    return honest


def parquet(**columns: list) -> bytes:
    """Return a parquet file."""
    import polars as pl

    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out)
    return out.getvalue()


def safetensors(header: dict[str, Any], body: bytes) -> bytes:
    """Return a safetensors file with a header of our choice."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
