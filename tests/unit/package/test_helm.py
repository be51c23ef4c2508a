"""The chart: by Helm itself, by Kubernetes' schemas, and by the server's own command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from lrn_deploy import __version__
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.helm import write
from lrn_deploy.package.replica import DRAIN_SECONDS, PRE_DRAIN_SECONDS
from lrn_deploy.progress import silent
from tests.support.packages import colours, documents, judged, understood

IMAGE = "registry.example/team/lrn-server:1.0"
ALL_ON: dict[str, Any] = {
    "model": {"claim": "nets", "artifact": "model"},
    "server": {
        "max_body_bytes": 268_435_456,
        "slo_ms": 12.5,
        "embed": True,
        "page": False,
        "batching": "fixed",
        "preferred_batch_sizes": [4, 8],
        "allow_origin": ["https://shop.example"],
    },
    "keysSecret": "keys",
    "tlsSecret": "certificate",
    "replica": {"gpus": 1},
    "serviceMonitor": {"enabled": True, "credentials": {"name": "watch", "key": "token"}},
    "networkPolicy": {"from": [{"podSelector": {}}], "egress": [{"ports": [{"port": 4318}]}]},
    "image": {"pullSecrets": [{"name": "registry"}]},
    "podAnnotations": {"a": "1"},
    "podLabels": {"b": "2"},
    "nodeSelector": {"kind": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
}
TRIED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "all on": ALL_ON,
    "one replica": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}},
    "all off": {"disruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "eight cores": {"replica": {"cores": 8}, "server": {"instances": 2}},
    "a typo": {"server": {"slo_mss": 5}},
    "out of range": {"server": {"instances": 65}},
    "set by the chart": {"server": {"http_port": 9000}},
    "no image": {"image": {"name": ""}},
}


def made(folder: Path, **chosen: Any) -> Path:
    out = folder / "out"
    out.mkdir()
    write(colours(folder / "colours", "helm", **{"image": IMAGE, **chosen}), out, silent)
    return out


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def tried(chart: Path) -> dict[str, Any]:
    """What Helm says and makes, for each of the values that are tried."""
    answers = judged("packaging", "helm_chart.py", chart, given=list(TRIED.values()))
    return dict(zip(TRIED, answers, strict=True))


@pytest.mark.parametrize(("chosen", "told"), [({}, True), ({"memory": "2Gi"}, False)])
def test_memory_that_was_worked_out_is_told(
    tmp_path: Path, chosen: dict[str, Any], told: bool
) -> None:
    (tmp_path / "out").mkdir()
    subject = colours(tmp_path / "colours", "helm", image=IMAGE, **chosen)
    notes = write(subject, tmp_path / "out", silent).notes
    assert notes[0] == "Install it with: helm install colours {output}"
    assert any("Memory was worked out as" in note for note in notes) is told


def object_of(answer: dict[str, Any], kind: str) -> Any:
    (found,) = (one for one in answer["objects"] if one["kind"] == kind)
    return found


def container_of(answer: dict[str, Any]) -> Any:
    (container,) = object_of(answer, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container


TAKEN = list(TRIED)[:5]


@pytest.mark.parametrize("values", TAKEN)
def test_helm_and_kubernetes_find_no_fault(tried: dict[str, Any], values: str) -> None:
    answer = tried[values]
    assert (answer["refused"], answer["lint"], answer["faults"]) == ("", [], [])


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ("a typo", "slo_mss"),
        ("out of range", "instances"),
        ("set by the chart", "http_port"),
        ("no image", "image"),
    ],
)
def test_helm_refuses_values_that_the_server_would(
    tried: dict[str, Any], values: str, word: str
) -> None:
    assert word in tried[values]["refused"]


def test_a_fault_in_a_template_is_found(chart: Path, tmp_path: Path) -> None:
    copy = tmp_path / "chart"
    shutil.copytree(chart, copy)
    service = copy / "templates" / "service.yaml"
    service.write_text(service.read_text().replace("  type: {{", "  typo: {{"))
    (answer,) = judged("packaging", "helm_chart.py", copy, given=[{}])
    assert any("typo" in fault for fault in answer["faults"])


def test_the_kinds_are_those_that_are_on(tried: dict[str, Any]) -> None:
    def kinds(values: str) -> set[str]:
        return {one["kind"] for one in tried[values]["objects"]}

    usual = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    usual |= {"NetworkPolicy", "Pod"}
    assert kinds("as it is") == usual
    assert kinds("all on") == (usual | {"ServiceMonitor"}) - {"Pod"}
    assert kinds("one replica") == usual - {"HorizontalPodAutoscaler"}
    assert kinds("all off") == usual - {"PodDisruptionBudget", "NetworkPolicy"}
    assert object_of(tried["one replica"], "Deployment")["spec"]["replicas"] == 1
    assert "replicas" not in object_of(tried["as it is"], "Deployment")["spec"]


def test_the_server_understands_its_options(tried: dict[str, Any]) -> None:
    said = understood(container_of(tried["as it is"])["args"])
    assert said["bundles"] == ("colours=/bundle",)
    assert (said["threads"], said["instances"], said["max_batch_size"]) == (2, 1, 16)
    assert (said["host"], said["http_port"], said["grpc_port"]) == ("0.0.0.0", 8000, 8001)
    assert said["supervise"] is False
    assert said["max_connections_per_peer"] == 0
    assert said["max_queue_bytes"] == 2**28


def test_each_setting_arrives_as_it_was_meant(tried: dict[str, Any]) -> None:
    said = understood(container_of(tried["all on"])["args"])
    assert said["bundles"] == ("colours=/bundle:model",)
    assert said["max_body_bytes"] == 268_435_456  # which Helm would write 2.68435456e+08
    assert (said["slo_ms"], said["embed"], said["page"]) == (12.5, True, False)
    assert said["preferred_batch_sizes"] == (4, 8)
    assert said["allow_origin"] == ("https://shop.example",)
    assert said["keys"] == "/etc/lrn-server/keys/keys.json"
    assert (said["tls_cert"], said["tls_key"]) == (
        "/etc/lrn-server/tls/tls.crt",
        "/etc/lrn-server/tls/tls.key",
    )


def test_threads_follow_the_cores(tried: dict[str, Any]) -> None:
    container = container_of(tried["eight cores"])
    assert understood(container["args"])["threads"] == 4
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert container["resources"]["limits"]["cpu"] == "8"
    assert container_of(tried["all on"])["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_secrets_and_claims_are_where_the_options_say(tried: dict[str, Any]) -> None:
    mounts = {
        one["name"]: one["mountPath"] for one in container_of(tried["all on"])["volumeMounts"]
    }
    assert mounts == {
        "tmp": "/tmp",
        "bundle": "/bundle",
        "keys": "/etc/lrn-server/keys",
        "tls": "/etc/lrn-server/tls",
    }


def test_a_replica_has_time_to_end(tried: dict[str, Any]) -> None:
    said = understood(container_of(tried["as it is"])["args"])
    assert said["pre_drain_seconds"] == PRE_DRAIN_SECONDS
    assert said["drain_seconds"] == DRAIN_SECONDS
    pod = object_of(tried["as it is"], "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > PRE_DRAIN_SECONDS + DRAIN_SECONDS


def test_nothing_runs_as_root_or_writes_beside_tmp(tried: dict[str, Any]) -> None:
    for answer in (tried["as it is"], tried["all on"]):
        pod = object_of(answer, "Deployment")["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        allowed = container_of(answer)["securityContext"]
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["capabilities"] == {"drop": ["ALL"]}


def test_probes_ask_in_a_way_that_works(tried: dict[str, Any]) -> None:
    plain, secure = container_of(tried["as it is"]), container_of(tried["all on"])
    assert plain["readinessProbe"]["grpc"] == {"port": 8001, "service": "colours"}
    assert plain["livenessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert "grpc" not in secure["readinessProbe"]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    assert {secure[probe]["httpGet"]["scheme"] for probe in probes} == {"HTTPS"}


def test_the_service_finds_the_pods_and_the_test_is_none_of_them(tried: dict[str, Any]) -> None:
    answer = tried["as it is"]
    wanted = object_of(answer, "Service")["spec"]["selector"].items()
    pods = object_of(answer, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert wanted <= pods
    assert not wanted <= object_of(answer, "Pod")["metadata"]["labels"].items()
    assert "shop-lrn-server.nets:8000" in answer["notes"]


def test_its_own_values_satisfy_the_schema(chart: Path) -> None:
    """Also where Helm is not there to say so."""
    schema = json.loads((chart / "values.schema.json").read_text())
    (values,) = documents(chart / "values.yaml")
    check = jsonschema_rs.validator_for(schema)
    assert [str(error) for error in check.iter_errors(values)] == []
    assert not check.is_valid({**values, "replica": {**values["replica"], "cores": 0}})
    assert not check.is_valid({**values, "unknown": 1})
    settings = set(schema["properties"]["server"]["properties"])
    assert {"slo_ms", "max_batch_size", "rate_limit"} <= settings
    assert settings <= set(understood(["colours"]))


@pytest.mark.parametrize(
    ("place", "good", "bad"),
    [
        ("preDrainSeconds", 0, -1),
        ("drainSeconds", 0, -1),
        ("replica.cores", 1, 0),
        ("replica.gpus", 0, -1),
        ("autoscaling.minReplicas", 1, 0),
        ("autoscaling.maxReplicas", 1, 0),
        ("autoscaling.targetCPUUtilizationPercentage", 1, 0),
        ("service.httpPort", 1, 0),
        ("service.grpcPort", 65535, 65536),
        ("image.name", "a", ""),
        ("server.instances", 64, 65),
        ("server.max_batch_size", 1, 0),
        ("server.slo_ms", 0.5, "0.5"),
        ("server.page", False, 0),
        ("server.keys", None, "/keys.json"),  # the chart's own
        ("global", {}, 1),
    ],
)
def test_the_schema_knows_what_just_makes_sense(
    chart: Path, place: str, good: Any, bad: Any
) -> None:
    (values,) = documents(chart / "values.yaml")
    check = jsonschema_rs.validator_for(json.loads((chart / "values.schema.json").read_text()))
    *above, name = place.split(".")
    inner = values
    for key in above:
        inner = inner[key]
    if good is not None:
        assert check.is_valid(values | ({name: good} if not above else {}))
        inner[name] = good
        assert check.is_valid(values)
    inner[name] = bad
    assert not check.is_valid(values)
    del inner[name]
    assert check.is_valid(values) is (above == ["server"] or name == "global")


def test_what_nobody_chose_has_its_default(chart: Path) -> None:
    (values,) = documents(chart / "values.yaml")
    assert (values["preDrainSeconds"], values["drainSeconds"]) == (10, 30)
    assert values["replica"] == {"cores": 2, "memory": "640Mi", "gpus": 0}
    assert values["autoscaling"] == {
        "minReplicas": 1, "maxReplicas": 4, "targetCPUUtilizationPercentage": 80
    }  # fmt: skip
    assert (values["server"]["max_queue_bytes"], values["server"]["instances"]) == (2**28, 1)
    assert "threads" not in values["server"]
    assert values["podSecurityContext"]["runAsUser"] == 65532
    (told,) = documents(chart / "Chart.yaml")
    assert (told["name"], told["version"]) == ("lrn-server", __version__)


def test_what_was_chosen_stands_in_the_values(tmp_path: Path) -> None:
    out = made(
        tmp_path,
        name="no",
        device="cuda",
        cpus=4,
        memory="3Gi",
        threads=3,
        scale_target=60,
        keys_secret="keys",
        tls_secret="certificate",
        instances=3,
        max_batch_size=5,
        artifact="model",
    )
    (values,) = documents(out / "values.yaml")
    assert values["image"]["name"] == IMAGE
    assert values["tlsSecret"] == "certificate"
    assert (values["server"]["instances"], values["server"]["max_batch_size"]) == (3, 5)
    assert values["model"] == {"name": "no", "path": "/bundle", "artifact": "model", "claim": ""}
    assert values["replica"] == {"cores": 4, "memory": "3Gi", "gpus": 1}
    assert values["server"]["threads"] == 3
    assert values["server"]["device"] == "cuda"
    assert values["autoscaling"]["targetCPUUtilizationPercentage"] == 60
    assert values["keysSecret"] == "keys"


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"image": ""}, "needs the image"),
        ({"min_replicas": 0}, "cannot go down to no replica"),
        ({"min_replicas": 9}, "At most 4 replicas"),
        ({"tls_secret": "A"}, "called 'A'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, chosen: dict[str, Any], sentence: str
) -> None:
    subject = colours(tmp_path / "colours", "helm", **{"image": IMAGE, **chosen})
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInputError, match=sentence):
        write(subject, tmp_path / "out", silent)
    assert list((tmp_path / "out").iterdir()) == []
