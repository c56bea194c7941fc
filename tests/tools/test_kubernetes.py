"""The manifests of deploy/kubernetes/: that they fit each other, the images and the worker."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import worker
from messaging.common.roles import queue_of
from runtime.settings import Settings
from runtime.version import VERSION

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
FOUND: list[dict[str, Any]] = [
    one for file in sorted(FOLDER.glob("*.yaml")) for one in YAML(typ="safe").load_all(file)
]
PODS = {
    one["metadata"]["name"]: one["spec"]["template"] for one in FOUND if one["kind"] in ("Deployment", "Job")
}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}


def _only(kind: str) -> dict[str, Any]:
    (one,) = (one for one in FOUND if one["kind"] == kind)
    return one


def test_all_kinds_are_there_under_names_of_their_own() -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in FOUND]
    assert len(set(names)) == len(names)
    assert sorted({kind for kind, _ in names}) == [
        *("ConfigMap", "Deployment", "Ingress", "Job", "PodDisruptionBudget", "ScaledObject", "Service"),
    ]
    assert {one["metadata"]["labels"]["app"] for one in FOUND} == {"drumbeat"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_as_the_image_is_made(name: str) -> None:
    pod, container = PODS[name]["spec"], CONTAINERS[name]
    user = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["image"] == f"drumbeat-worker:{VERSION}"
    assert container["command"][:2] == ["python", "worker.py"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


@pytest.mark.parametrize("name", PODS)
def test_every_setting_exists(name: str) -> None:
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    known |= {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "PGUSER", "PGPASSWORD"}
    given = {variable["name"] for variable in CONTAINERS[name]["env"]} | set(_only("ConfigMap")["data"])
    assert given <= known
    assert CONTAINERS[name]["envFrom"] == [{"configMapRef": {"name": _only("ConfigMap")["metadata"]["name"]}}]


@pytest.mark.parametrize("name", PODS)
def test_probes_ask_ports_that_are_listened_on(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in CONTAINERS[name].get("ports", ())}
    given = {variable["name"]: variable.get("value") for variable in CONTAINERS[name]["env"]}
    assert {str(port) for port in ports.values()} <= set(given.values())
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        for how in (CONTAINERS[name].get(probe) or {}).values():
            if isinstance(how, dict):
                assert how["port"] in ports


@pytest.mark.parametrize("name", ["drumbeat-worker", "drumbeat-sender"])
def test_a_worker_is_given_the_time_to_end_well(name: str) -> None:
    seconds = PODS[name]["spec"]["terminationGracePeriodSeconds"]
    assert seconds > worker.GRACE.total_seconds() + 10


def test_workers_are_scaled_by_the_queue_of_what_they_do() -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["triggers"][0]["metadata"]
        for one in FOUND
        if one["kind"] == "ScaledObject"
    }
    queues = {name: (of["taskQueue"], of["queueTypes"]) for name, of in scaled.items()}
    assert queues == {
        "drumbeat-worker": (queue_of("workflows", "drumbeat"), "workflow,activity"),
        "drumbeat-sender": (queue_of("sends", "drumbeat"), "activity"),
    }
    assert CONTAINERS["drumbeat-sender"]["command"][2:] == ["--roles", "sends"]
    worker_of, sender = CONTAINERS["drumbeat-worker"], CONTAINERS["drumbeat-sender"]
    same = {key: worker_of[key] for key in worker_of if key not in ("name", "command")}
    assert same == {key: sender[key] for key in sender if key not in ("name", "command")}


def test_what_selects_finds() -> None:
    service = _only("Service")
    labels = PODS["drumbeat-webhooks"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == CONTAINERS["drumbeat-webhooks"]["ports"][0]["name"]
    backend = _only("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {
        "name": service["metadata"]["name"],
        "port": {"name": service["spec"]["ports"][0]["name"]},
    }
    for one in FOUND:
        if one["kind"] == "Deployment":
            assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    assert (
        _only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
        == PODS["drumbeat-worker"]["metadata"]["labels"]
    )


def test_only_the_job_may_change_tables() -> None:
    keys = {
        name: next(
            one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if one["name"] == "PGPASSWORD"
        )
        for name, container in CONTAINERS.items()
    }
    assert {name for name, key in keys.items() if key != "database-password"} == {"drumbeat-schema"}
    assert _only("ConfigMap")["data"]["PGUSER"] == "drumbeat_worker"
    assert {"name": "PGUSER", "value": "drumbeat"} in CONTAINERS["drumbeat-schema"]["env"]
    assert CONTAINERS["drumbeat-schema"]["command"][2:] == ["--migrate-only"]
    document = (ROOT / "docs" / "kubernetes.md").read_text()
    assert "owner-password=secrets/drumbeat_db_password" in document
    assert "database-password=secrets/drumbeat_worker_db_password" in document
