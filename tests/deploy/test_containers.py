"""The container, compose and Kubernetes files agree with each other and with contimg."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from contimg_resources.cli.main import app
from contimg_resources.settings import Settings

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
CONTAINERFILE = CONTAINER / "Containerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OBJECTS = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "contimg.yaml").read_text()))


def unknown_options(words: list[str]) -> list[str]:
    """Return the options that a command of contimg doesn't have."""
    command: Any = typer.main.get_command(app)
    known = {o for p in command.commands[words[0]].params for o in p.opts}
    return [word for word in words if word.startswith("--") and word not in known]


def unknown_settings(names: list[str]) -> list[str]:
    """Return the variables that are no settings."""

    def is_setting(parts: list[str], model: type[BaseModel]) -> bool:
        field = model.model_fields.get(parts[0])
        if field is None or not parts[1:]:
            return field is not None
        inner = field.annotation
        return isinstance(inner, type) and is_setting(parts[1:], inner)

    own = [name for name in names if name.startswith("CONTIMG_")]
    assert own
    return [
        n for n in own if not is_setting(n.removeprefix("CONTIMG_").lower().split("__"), Settings)
    ]


def ignored(name: str) -> bool:
    """Return whether `.dockerignore` keeps a file at the top out of the image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return f"!{name}" not in lines and f"!{name}/" not in lines


def test_the_image_gets_the_files_that_its_environment_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    named |= {"requirements", "contimg_assets", "contimg_resources"}
    for files in project["tool"]["setuptools"]["data-files"].values():
        named |= {file.partition("/")[0] for file in files}
    assert {name for name in named if ignored(name)} == set()
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert ignored(".git")
    assert ignored("tests")
    assert ignored("deploy")


def test_the_image_has_the_libraries_that_the_tests_need() -> None:
    """And runs the command as a user that may write the volume."""
    text = CONTAINERFILE.read_text()
    words = set(re.findall(r"[\w.+-]+", text))
    told = re.search(r"packages=\((.*)\)", (ROOT / ".ci" / "run").read_text())
    assert told is not None
    # Without what only tests use.
    only_tests = {"chromium", "wsclean", "nginx-light", "openssl", "postgresql", "redis-server"}
    assert set(told[1].split()) - only_tests <= words
    assert re.findall(r"^(USER|ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE) == [
        ("USER", "contimg"),
        ("ENTRYPOINT", '["contimg"]'),
        ("CMD", '["up"]'),
    ]
    (python,) = re.findall(r"^FROM docker.io/library/python:(\d\.\d+)-", text, re.MULTILINE)
    assert python in ("3.11", "3.12", "3.13")


def test_services_name_what_there_is() -> None:
    """Other services, volumes, files, commands, and settings."""
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        assert "image" in service, name
        assert service["restart"] == "unless-stopped", name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (CONTAINER / source).is_file(), volume
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"], volume
    build = SERVICES["control"]["build"]
    assert (CONTAINER / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == CONTAINERFILE
    for name in ("control", "worker"):
        assert unknown_options(SERVICES[name]["command"]) == []
        assert unknown_settings(list(SERVICES[name]["environment"])) == []
    health = [s for s in ("postgres", "redis") if "healthcheck" in SERVICES[s]]
    assert health == list(SERVICES["control"]["depends_on"])


def test_passwords_are_asked_for_and_ports_are_open_to_the_host_only() -> None:
    text = (CONTAINER / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == set(re.findall(r"^(\w+)=", (CONTAINER / "example.env").read_text(), re.M))
    assert re.findall(r"\$\{\w+\}", text) == re.findall(r"\$\{INCOMING\}", text)
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    # The proxy listens where the ports lead, and asks where contimg serves.
    proxy = (CONTAINER / "nginx.conf").read_text()
    assert SERVICES["proxy"]["network_mode"] == "service:control"
    listening = re.findall(r"listen (\d+);", proxy)
    assert [port.rpartition(":")[2] for port in ports] == listening
    served = [word for word in SERVICES["control"]["command"] if word.isdigit()]
    assert re.findall(r"proxy_pass http://127\.0\.0\.1:(\d+);", proxy) == served


def test_nginx_accepts_the_proxy(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("needs nginx (Debian: nginx-light)")
    told = f"pid {tmp_path}/pid;"
    command = [nginx, "-t", "-q", "-p", str(tmp_path), "-g", told]
    checked = subprocess.run(
        [*command, "-c", str(CONTAINER / "nginx.conf")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the kind and name of every object that a part of a manifest refers to."""
    kinds = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in kinds:
                yield kinds[name], inner["name"]
            elif name == "claimName":
                yield "PersistentVolumeClaim", inner
            else:
                yield from references(inner)


def test_kubernetes_objects_refer_to_each_other() -> None:
    there = {(o["kind"], o["metadata"]["name"]) for o in OBJECTS}
    assert set(references(OBJECTS)) <= there | {("Secret", "contimg")}
    deployments = [o["spec"] for o in OBJECTS if o["kind"] == "Deployment"]
    assert len(deployments) == 2
    for spec in deployments:
        pod = spec["template"]
        assert spec["selector"]["matchLabels"] == pod["metadata"]["labels"]
        (container,) = pod["spec"]["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
        assert unknown_options(container["args"]) == []
    (settings,) = [o["data"] for o in OBJECTS if o["kind"] == "ConfigMap"]
    assert unknown_settings(list(settings)) == []
    # A password is in the secret, or nowhere.
    assert not any(re.search(r":[^/@]+@", value) for value in settings.values())
