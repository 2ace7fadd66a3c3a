"""What docker-compose.yml promises, as docker-compose itself reads it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from m2v.files.checkout import CHECKOUT
from tests.team.machine import resolved

SIGN_ON = {
    "M2V_DOMAIN": "garden.example",
    "M2V_OIDC_ISSUER": "https://id.garden.example",
    "M2V_OIDC_CLIENT": "m2v",
    "M2V_EMAIL_DOMAIN": "garden.example",
    "M2V_SIGN_ON_IMAGE": "oauth2-proxy:v7.12.0",
}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return resolved({})["services"]


def test_the_services_and_who_waits_for_whom(services: dict[str, dict[str, Any]]) -> None:
    waits = {name: set(about.get("depends_on", {})) for name, about in services.items()}
    assert waits == {
        "postgres": set(),
        "label-studio": {"postgres"},
        "code": {"postgres"},
        "webserver": {"code"},
        "daemon": {"code"},
        "door": {"webserver", "label-studio"},
    }
    for about in services.values():
        assert "healthcheck" in about
        assert all(each["condition"] == "service_healthy" for each in about.get("depends_on", {}).values())


def test_no_service_has_rights_or_a_file_system_to_write_to(services: dict[str, dict[str, Any]]) -> None:
    for name, about in services.items():
        assert about["cap_drop"] == ["ALL"], name
        assert about["security_opt"] == ["no-new-privileges:true"], name
        assert about["read_only"] is True, name
        assert about["restart"] == "unless-stopped", name
        user, _, group = about["user"].partition(":")
        assert int(user) > 0, name
        assert int(group) > 0, name
        assert "privileged" not in about, name
        for mount in about.get("volumes", []):
            source, *rest = mount.split(":")
            # What is the user's is read only; named volumes are ours.
            assert not source.startswith("/") or rest[-1] == "ro", mount
            assert "docker.sock" not in mount


def test_label_studios_image_has_all_of_ours() -> None:
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    (pattern,) = (line.split()[1] for line in lines if line.startswith("COPY label_studio/m2v_"))
    ours = {path.name for path in (CHECKOUT / "label_studio").glob("m2v_*")}
    assert {"m2v_guard.py", "m2v_page.js"} <= ours
    assert {path.name for path in CHECKOUT.glob(pattern)} == ours


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for about in services.values():
        tag = about["image"].partition(":")[2]
        assert tag.split("-")[0].count(".") >= 1
        assert "latest" not in tag
    bases = [line.split()[1] for line in (CHECKOUT / "Dockerfile").read_text().splitlines() if line.startswith("FROM")]
    assert bases == ["python:3.11.14-slim-bookworm", "base", "base"]


def test_only_the_door_is_reached_and_label_studio_reaches_nobody() -> None:
    file = resolved({})
    networks = {name: set(about["networks"]) for name, about in file["services"].items()}
    assert file["networks"]["inside"]["internal"] is True
    assert networks["label-studio"] == networks["postgres"] == {"inside"}
    published = {name: about["ports"] for name, about in file["services"].items() if "ports" in about}
    assert published == {"door": ["127.0.0.1:3000:3000/tcp", "127.0.0.1:8080:8080/tcp"]}


def test_no_password_is_in_the_file_and_none_has_a_default(services: dict[str, dict[str, Any]]) -> None:
    file = resolved({})
    assert set(file["secrets"]) == {each["source"] for about in services.values() for each in about.get("secrets", [])}
    for about in services.values():
        for name, value in about["environment"].items():
            if any(word in name for word in ("PASSWORD", "TOKEN", "SECRET")) and name not in {
                "M2V_SECRETS",
                "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN",
            }:
                assert name.endswith("_FILE")
                assert str(value).startswith("/run/secrets/")


def test_secrets_are_drawn_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make = ["make", "secrets"]
    environment = {**os.environ, "M2V_SECRETS_DIR": str(folder)}
    subprocess.run(make, cwd=CHECKOUT, env=environment, check=True)
    drawn = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(drawn) == set(resolved({})["secrets"])
    assert len(set(drawn.values())) == len(drawn)
    assert all(len(value) == 40 for value in drawn.values())
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "postgres").write_text("leek")
    (folder / "label_studio_token").unlink()
    subprocess.run(make, cwd=CHECKOUT, env=environment, check=True)
    assert (folder / "postgres").read_text() == "leek"
    assert (folder / "label_studio_token").read_text() not in drawn.values()


def test_a_cluster_and_object_storage_are_settings_of_the_services_that_run() -> None:
    files = ["-f", "docker-compose.yml", "-f", "docker/cluster.yml", "-f", "docker/storage.yml"]
    given = {"M2V_LAUNCHER": "ray:http://head:8265", "M2V_SHARED_HOME": "/shared/m2v", "M2V_STORAGE": "s3://garden"}
    done = subprocess.run(
        ["docker-compose", *files, "config"],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
    )
    file = yaml.safe_load(done.stdout)
    for name in ("code", "webserver", "daemon"):
        about = file["services"][name]
        assert about["environment"]["M2V_LAUNCHER"] == "ray:http://head:8265"
        assert about["environment"]["M2V_STORAGE"] == "s3://garden"
        assert {"aws_access_key_id", "dagster_database"} <= {each["source"] for each in about["secrets"]}
        mounted = {each.split(":")[1]: each for each in about["volumes"]}
        assert mounted["/data"] == "/shared/m2v:/data:rw"
        assert mounted["/data/media"] == "/shared/m2v/media:/data/media:rw"
    assert "/shared/m2v/media:/decoded:ro" in file["services"]["label-studio"]["volumes"]
    assert file["services"]["code"]["build"]["args"]["EXTRAS"] == "encoder,team,cluster"


@pytest.mark.parametrize("missing", ["M2V_DOMAIN", "M2V_OIDC_ISSUER", "M2V_OIDC_CLIENT", "M2V_EMAIL_DOMAIN"])
def test_the_proxy_names_what_it_needs(missing: str) -> None:
    files = ["-f", "docker-compose.yml", "-f", "docker/proxy.yml"]
    given = {"PATH": os.environ["PATH"], **{name: value for name, value in SIGN_ON.items() if name != missing}}
    said = subprocess.run(
        ["docker-compose", *files, "config"], cwd=CHECKOUT, env=given, capture_output=True, text=True, check=False
    )
    assert said.returncode != 0
    assert "set it to" in said.stderr
    whole = subprocess.run(
        ["docker-compose", *files, "-f", "docker/gpu.yml", "config", "--quiet"],
        cwd=CHECKOUT,
        env={**given, **SIGN_ON},
        check=False,
    )
    assert whole.returncode == 0


@pytest.mark.parametrize(("content", "problem"), [(None, "cannot be read from"), ("", "is empty")])
def test_label_studio_does_not_start_without_its_secrets(tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "label_studio_database").write_text(content)
    program = CHECKOUT / "label_studio" / ".venv" / "bin" / "label-studio"
    said = subprocess.run(
        [str(program), "start", "--no-browser", "--port", "1"],
        env={
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT / "label_studio"),
            "DJANGO_SETTINGS_MODULE": "m2v_settings",
            "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "data"),
            "POSTGRE_PASSWORD_FILE": str(tmp_path / "label_studio_database"),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "label_studio_database" in said.stderr
    assert problem in said.stderr
    assert "make secrets" in said.stderr
