import json
import time
from pathlib import Path
from typing import Any

from m2v_resources.launching.messages import POLL_S, Messages
from tests.patience import PATIENCE_S


class Heard:
    """Whoever messages are passed on to."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.messages.append(message)


def test_a_line_that_is_written_in_two_parts_is_one_message(tmp_path: Path) -> None:
    heard = Heard()
    first, second = ({"method": "report", "leeks": number} for number in (1, 2))
    with Messages(tmp_path / "messages").read_messages(heard) as params:
        with Path(params["path"]).open("ab", buffering=0) as file:
            line = json.dumps(first).encode() + b"\n"
            file.write(line[:7])
            # Several looks at half a line.
            time.sleep(4 * POLL_S)
            assert heard.messages == []
            file.write(line[7:] + json.dumps(second).encode() + b"\n")
        deadline = time.monotonic() + PATIENCE_S
        while len(heard.messages) < 2:
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
    assert heard.messages == [first, second]


def test_what_is_said_last_is_heard_though_the_program_has_ended(tmp_path: Path) -> None:
    heard = Heard()
    with Messages(tmp_path / "messages").read_messages(heard) as params:
        Path(params["path"]).write_text(json.dumps({"method": "closed"}) + "\n", encoding="utf-8")
    assert heard.messages == [{"method": "closed"}]
