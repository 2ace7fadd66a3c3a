"""The command with its tables in object storage: what is wrong with that ends it at once, in one sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buckets import KEYS, Server
from tests.m2v_assets.conftest import Run, as_json


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_a_run_ends_before_it_begins(m2v: Run, server: Server) -> None:
    address = server.new()
    refusing = {**server.user("reader", "s3:ListBucket", "s3:GetObject"), "M2V_STORAGE": address}
    silent = {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "M2V_STORAGE": address}
    server.ask_for_rights()
    for environment, why in (
        (refusing, f"{address}/m2v.json could not be written: the server refuses (403"),
        (silent, "http://127.0.0.1:9 does not answer. Check AWS_ENDPOINT_URL"),
    ):
        done = m2v("run", "--study", "sample-recorded", "--json", code=1, **environment)
        said = " ".join(done.stderr.split())
        assert why in said
        assert "Traceback" not in said
        assert environment.get("AWS_SECRET_ACCESS_KEY", "Traceback") not in done.stdout + done.stderr


def test_media_that_are_not_there_wait_with_a_reason(m2v: Run) -> None:
    with Server() as server:
        environment = {**server.environment, "M2V_MEDIA": server.new()}
        missing = as_json(m2v("status", "--study", "sample", "--json", **environment))["missing"]
    waiting = {asset: problem for problem, assets in missing.items() for asset in assets}
    wanted = "Nothing lies below s3://garden-1/team/a, which M2V_MEDIA is. Upload the media there"
    assert wanted in waiting["meme_images/veggie"]


def test_on_a_teams_machine_every_command_finds_the_keys_among_the_secrets(m2v: Run, tmp_path: Path) -> None:
    secrets = {"dagster_database": "turnip", "label_studio_token": "turnip"}
    with Server() as server:
        given = dict(server.environment) | {"M2V_STORAGE": server.new()}
        secrets |= {name.lower(): given.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        for name, secret in secrets.items():
            (tmp_path / name).write_text(secret, encoding="utf-8")
        given |= {"M2V_SECRETS": str(tmp_path), "M2V_POSTGRES": "127.0.0.1:9", "M2V_CODE": "127.0.0.1:9"}
        assert as_json(m2v("tables", "list", "--json", **given)) == []
        assert as_json(m2v("audit", "verify", "--json", **given))["problems"] == []
