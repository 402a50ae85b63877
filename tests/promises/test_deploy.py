"""What is handed out for a deployment fits the code: image, compose files, units, dashboard, alerts."""

import json
import re
import shutil
import subprocess
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from tests.promises.metrics import known_metrics
from tests.promises.test_docs import anchors
from transcode.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = [ROOT / "docker-compose.yml", ROOT / "deploy/docker/aws.compose.yml"]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
RULES = ROOT / "deploy/alerts/transcode.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/transcode.json"


def commands() -> set[str]:
    found: Any = get_command(app)
    return set(found.commands)


def series(query: str) -> set[str]:
    return set(re.findall(r"\btranscode_\w+", query))


def test_every_query_of_the_dashboard_names_a_metric_that_exists() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) >= 20
    assert [query for query in queries if not series(query) or not series(query) <= known_metrics()] == []
    shown = set().union(*map(series, queries))
    # Each number is shown in one way or another; of a histogram, one of its three series.
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_metrics()}
    assert families - {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} == set()
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_names_metrics_that_exist_and_a_part_of_the_docs() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert len(group["rules"]) >= 6
    for rule in group["rules"]:
        assert series(rule["expr"]), rule["alert"]
        assert series(rule["expr"]) <= known_metrics(), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        for one in (ROOT / page, (ROOT / page).with_suffix(".zh-CN.md")):
            assert anchor in anchors(one), rule["alert"]


def services(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    return found


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_every_service_runs_a_command_with_settings_that_exist(path: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | {
        "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
    }  # fmt: skip
    for name, service in services(path).items():
        assert set(service["command"]) <= commands(), name
        assert set(service.get("environment", {})) <= known, name
        # Nobody but this machine reaches a port by itself.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "healthcheck" in service or name == "api", name


def test_the_settings_of_the_local_farm_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in services(COMPOSE[0])["worker-gpu"]["environment"].items():
        monkeypatch.setenv(name, value)
    found = Settings()
    assert found.metrics_port == 9400
    # What the health checks ask.
    checks = {name: str(service["healthcheck"]["test"]) for name, service in services(COMPOSE[0]).items() if
              service.get("healthcheck", {}).get("test")}  # fmt: skip
    assert ":9400/" in checks["worker"]
    assert ":9401/" in checks["bridge"]


def test_gpu_services_are_given_the_drivers_video_part() -> None:
    for path in COMPOSE:
        service = services(path)["worker-gpu"]
        assert service["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,video,utility"
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert {"gpu", "video", "utility"} <= set(device["capabilities"])


def test_the_image_is_made_of_files_that_are_there_and_sent() -> None:
    text = (ROOT / "Dockerfile").read_text()
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for name in line.split()[:-1]]
    assert {"requirements.lock", "transcode", "deploy/docker/stand_in.py"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, pattern) for pattern in sent), name
    assert set(sent) == set(copied)


def test_the_image_runs_as_nobody_special_and_from_the_hashed_lock() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.M)
    assert int(user) > 0
    assert "--require-hashes -r requirements.lock" in text
    assert "HEALTHCHECK" in text
    assert not re.search(r"(SECRET|PASSWORD|ACCESS_KEY)", text)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_unit_starts_a_command_that_exists_and_is_understood_by_systemd(path: Path) -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(path)
    found = unit["Service"]
    command = found["ExecStart"].split()
    assert command[0].endswith("/bin/transcode")
    assert command[1] in commands()
    assert command[1] in path.name
    assert (found["KillMode"], found["Restart"], found["NoNewPrivileges"]) == ("mixed", "on-failure", "yes")
    # What a process ends with whose settings are bad.
    assert found["RestartPreventExitStatus"] == "2"
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed here, so the unit was only read")
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    # The product is not installed under /opt on this machine; nothing else may be wrong.
    wrong = [line for line in done.stderr.splitlines() if path.name in line and "is not executable" not in line]
    assert wrong == []


def test_the_workers_unit_forbids_nothing_that_bwrap_and_cuda_need() -> None:
    text = (ROOT / "deploy/systemd/transcode-worker.service").read_text()
    options = set(re.findall(r"^(\w+)=", text, re.M))
    assert not options & {
        "RestrictNamespaces", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset",
        "PrivateDevices", "ProtectClock", "DeviceAllow", "MemoryDenyWriteExecute", "PrivateUsers",
    }  # fmt: skip
    (filtered,) = re.findall(r"^SystemCallFilter=(.+)$", text, re.M)
    assert filtered.startswith("~")
    assert "@mount" not in filtered
    assert "AF_NETLINK" in text
