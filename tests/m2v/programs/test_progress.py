"""What a program says about how far it is."""

import time

import pytest

from m2v.programs import progress


class Heard(progress.Send):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[dict] = []

    def __call__(self, message: dict) -> None:
        self.messages.append(message)


def test_at_most_two_messages_a_second_and_the_last_one_always() -> None:
    heard = Heard()
    report = progress.Report(heard)
    for done in range(1, 1001):
        report.step(done, 1000, unit="leeks", loss=0.5)
    assert [message["done"] for message in heard.messages] == [1, 1000]
    assert heard.messages[0] == {"done": 1, "total": 1000, "unit": "leeks", "figures": {"loss": 0.5}}


def test_a_slow_program_says_each_step() -> None:
    heard = Heard()
    report = progress.Report(heard)
    for done in (1, 2):
        report.step(done, 9, unit="leeks")
        time.sleep(progress.INTERVAL_S)
    assert [message["done"] for message in heard.messages] == [1, 2]


def test_from_a_shell_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_PIPES_CONTEXT", raising=False)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with progress.reporting() as report:
            report.step(2, 2, unit="leeks", loss=0.123456)
    assert capsys.readouterr().err == "2 of 2 leeks, loss 0.1235\n"
