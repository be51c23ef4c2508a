"""KServe's objects: by KServe's own models, and by the server's own command line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.package.kserve import write
from lrn_deploy.package.replica import DRAIN_SECONDS, PRE_DRAIN_SECONDS
from lrn_deploy.progress import silent
from tests.support.image_bundles import colour_bundle
from tests.support.packages import colours, documents, judged, subject_of, understood

IMAGE = "registry.example/team/lrn-server:1.0"
STORED = {"image": IMAGE, "storage_uri": "s3://nets/colours"}
SHAPES: dict[str, dict[str, Any]] = {
    "from a storage": STORED,
    "in the image": {"image": IMAGE},
    "by concurrency": {**STORED, "scale_metric": "concurrency", "min_replicas": 0},
    "with keys, on a GPU": {**STORED, "keys_secret": "keys", "device": "cuda", "namespace": "nets"},
    "by KServe's tritonserver": {"runtime": "triton", "storage_uri": "pvc://claim/repository"},
}


def written(folder: Path, **chosen: Any) -> dict[str, Any]:
    """The objects by their kind."""
    out = folder / "out"
    out.mkdir(parents=True)
    write(colours(folder / "colours", "kserve", **chosen), out, silent)
    (kustomization,) = documents(out / "kustomization.yaml")
    found = [one for file in kustomization["resources"] for one in documents(out / file)]
    assert {path.name for path in out.iterdir()} == {
        "kustomization.yaml",
        *kustomization["resources"],
    }
    return {one["kind"]: one for one in found}


def container_of(objects: dict[str, Any]) -> Any:
    holder = objects.get("ServingRuntime", objects["InferenceService"])["spec"]
    (container,) = holder.get("containers") or holder["predictor"]["containers"]
    return container


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What KServe's own models find in each shape, and in one that was spoiled."""
    shapes = {name: written(tmp_path_factory.mktemp("shape"), **SHAPES[name]) for name in SHAPES}
    spoiled = copy.deepcopy(shapes["from a storage"])
    spoiled["InferenceService"]["spec"]["predictor"]["minReplica"] = 1
    container_of(spoiled)["readinessProbe"]["periodSeconds"] = "2"
    del container_of(spoiled)["name"]
    given = [list(objects.values()) for objects in (*shapes.values(), spoiled)]
    found = judged("kserve", "kserve_objects.py", given=given)
    return dict(zip([*shapes, "spoiled"], found, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_kserves_own_models_find_no_fault(faults: dict[str, list[str]], shape: str) -> None:
    assert faults[shape] == []


@pytest.mark.parametrize("part", ["has minReplica,", "periodSeconds is '2'", "Field required"])
def test_kserves_own_models_find_faults(faults: dict[str, list[str]], part: str) -> None:
    assert any(part in fault for fault in faults["spoiled"])


@pytest.mark.parametrize("shape", [name for name in SHAPES if "image" in SHAPES[name]])
def test_the_server_understands_its_options(tmp_path: Path, shape: str) -> None:
    objects = written(tmp_path, **SHAPES[shape])
    container = container_of(objects)
    called = objects["InferenceService"]["metadata"]["name"]
    said = understood([word.replace("{{.Name}}", called) for word in container["args"]])
    place = "/bundle" if shape == "in the image" else "/mnt/models"
    assert said["bundles"] == (f"colours={place}",)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert said["http_port"] == ports["http1"]
    assert said["grpc_port"] == ports.get("h2c", -1)
    assert said["host"] == "0.0.0.0"
    assert said["supervise"] is False
    assert said["max_connections_per_peer"] == 0


def test_a_replica_has_time_to_end(tmp_path: Path) -> None:
    objects = written(tmp_path, **STORED)
    container = container_of(objects)
    said = understood(container["args"])
    predictor = objects["InferenceService"]["spec"]["predictor"]
    assert said["pre_drain_seconds"] == PRE_DRAIN_SECONDS
    assert said["drain_seconds"] == DRAIN_SECONDS
    assert predictor["terminationGracePeriodSeconds"] > PRE_DRAIN_SECONDS + DRAIN_SECONDS
    assert (PRE_DRAIN_SECONDS, DRAIN_SECONDS) == (10, 30)
    assert predictor["terminationGracePeriodSeconds"] == 50
    probe = container["readinessProbe"]
    assert 2 * probe["periodSeconds"] * probe["failureThreshold"] < PRE_DRAIN_SECONDS


def test_the_runtime_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    objects = written(tmp_path, **STORED)
    model = objects["InferenceService"]["spec"]["predictor"]["model"]
    runtime = objects["ServingRuntime"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["storageUri"] == "s3://nets/colours"
    (format_,) = runtime["spec"]["supportedModelFormats"]
    assert model["modelFormat"] == {"name": format_["name"], "version": format_["version"]}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]


def test_probes_ask_what_the_server_answers(tmp_path: Path) -> None:
    container = container_of(written(tmp_path, **STORED))
    ready = {"httpGet": {"path": "/v2/health/ready", "port": 8080}}
    live = {"httpGet": {"path": "/v2/health/live", "port": 8080}}
    asked = {"grpc": {"port": 9000, "service": "{{.Name}}"}}

    def every(period: int, timeout: int, failures: int) -> dict[str, int]:
        return {
            "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures
        }  # fmt: skip

    assert container["startupProbe"] == ready | every(2, 2, 150)  # five minutes to load
    assert container["livenessProbe"] == live | every(5, 5, 3)
    assert container["readinessProbe"] == asked | every(2, 2, 1)


def test_replicas_are_those_that_were_asked_for(tmp_path: Path) -> None:
    objects = written(tmp_path, image=IMAGE, min_replicas=2, max_replicas=3)
    service = objects["InferenceService"]
    predictor = service["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 3)
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("cpu", 80)
    assert predictor["automountServiceAccountToken"] is False
    assert service["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa",
        "prometheus.kserve.io/port": "8080",
        "prometheus.kserve.io/path": "/metrics",
    }
    assert "namespace" not in service["metadata"]
    assert predictor["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    same = written(tmp_path / "same", image=IMAGE, min_replicas=3, max_replicas=3)
    assert same["InferenceService"]["spec"]["predictor"]["minReplicas"] == 3


@pytest.mark.parametrize(("metric", "target"), [("memory", 65), ("rps", 50), ("concurrency", 7)])
def test_what_they_are_added_for_can_be_said(tmp_path: Path, metric: str, target: int) -> None:
    objects = written(tmp_path, **STORED, scale_metric=metric, scale_target=target)
    predictor = objects["InferenceService"]["spec"]["predictor"]
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == (metric, target)
    protocols = ["v2", "grpc-v2"] if metric == "memory" else ["v2"]
    assert objects["ServingRuntime"]["spec"]["protocolVersions"] == protocols


def test_keys_are_mounted_and_a_gpu_is_asked_for(tmp_path: Path) -> None:
    objects = written(tmp_path, **SHAPES["with keys, on a GPU"])
    container, runtime = container_of(objects), objects["ServingRuntime"]
    said = understood([word.replace("{{.Name}}", "colours") for word in container["args"]])
    assert (said["device"], said["keys"]) == ("cuda", "/etc/lrn-server/keys/keys.json")
    assert container["volumeMounts"][1:] == [
        {"name": "keys", "mountPath": "/etc/lrn-server/keys", "readOnly": True}
    ]
    assert runtime["spec"]["volumes"][1:] == [
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o444}}
    ]
    for amounts in container["resources"].values():
        assert amounts["nvidia.com/gpu"] == "1"
    assert {one["metadata"]["namespace"] for one in objects.values()} == {"nets"}


def test_kserves_own_tritonserver_gets_models_and_probes(tmp_path: Path) -> None:
    objects = written(tmp_path, **SHAPES["by KServe's tritonserver"])
    model = objects["InferenceService"]["spec"]["predictor"]["model"]
    assert (model["runtime"], model["modelFormat"]) == ("kserve-tritonserver", {"name": "triton"})
    assert model["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    assert "ServingRuntime" not in objects


def test_nothing_runs_as_root_or_writes_beside_tmp(tmp_path: Path) -> None:
    objects = written(tmp_path, **STORED)
    allowed = container_of(objects)["securityContext"]
    assert allowed["runAsNonRoot"] is True
    assert allowed["readOnlyRootFilesystem"] is True
    assert allowed["allowPrivilegeEscalation"] is False
    assert allowed["capabilities"] == {"drop": ["ALL"]}
    assert (
        objects["InferenceService"]["spec"]["predictor"]["securityContext"]["runAsNonRoot"] is True
    )
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(objects)["volumeMounts"]}
    assert mounts == {"tmp": "/tmp"}


def test_knative_gets_one_port_and_no_settings_of_the_pod(tmp_path: Path) -> None:
    chosen = {**STORED, "scale_metric": "concurrency", "min_replicas": 0, "instances": 2}
    objects = written(tmp_path, **chosen)
    service = objects["InferenceService"]
    assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Knative"}
    assert set(service["spec"]["predictor"]) == {
        *("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "model"),
    }
    assert service["spec"]["predictor"]["scaleTarget"] == 32  # two full batches of 16
    container = container_of(objects)
    assert [port["name"] for port in container["ports"]] == ["http1"]
    assert "httpGet" in container["readinessProbe"]


@pytest.mark.parametrize(
    ("chosen", "threads"),
    [
        ({}, 2),
        ({"cpus": 8, "instances": 3}, 2),
        ({"cpus": 1, "instances": 4}, 1),
        ({"threads": 5}, 5),
    ],
)
def test_threads_are_those_of_the_replica(
    tmp_path: Path, chosen: dict[str, Any], threads: int
) -> None:
    container = container_of(written(tmp_path, **STORED, **chosen))
    assert understood(container["args"])["threads"] == threads
    cores = str(chosen.get("cpus", 2))
    assert container["resources"]["limits"]["cpu"] == cores
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_memory_holds_the_networks_and_what_waits(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    (artifact,) = bundle.manifest.artifacts.values()
    large = artifact.model_copy(update={"size": 249_475_164})  # AlexNet's
    bundle = bundle.update(artifacts={"model": large})
    out = tmp_path / "out"
    out.mkdir()
    write(subject_of(bundle, "kserve", image=IMAGE, instances=2), out, silent)
    (service,) = documents(out / "inferenceservice.yaml")
    container = container_of({"InferenceService": service})
    waiting = understood(container["args"])["max_queue_bytes"] / 2**20
    memory = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    # The server took 789 MiB at most with two instances of it and nothing that waited.
    assert 789 + waiting < memory < 2 * (789 + waiting)
    # 256 MiB each for the program and what waits, each network twice while it is loaded, which
    # makes 1464, in steps of 128.
    assert (waiting, memory) == (256, 1536)


def test_an_artifact_that_was_chosen_is_the_one_that_runs(tmp_path: Path) -> None:
    container = container_of(written(tmp_path, **STORED, artifact="model"))
    assert container["args"][0] == "{{.Name}}=/mnt/models:model"
    named = container_of(written(tmp_path / "again", **STORED, name="mnt"))
    assert named["args"][0] == "{{.Name}}=/mnt/models"


def test_a_name_has_forty_letters_at_most(tmp_path: Path) -> None:
    longest = "a" * 40
    objects = written(tmp_path, image=IMAGE, name=longest)
    assert objects["InferenceService"]["metadata"]["name"] == longest
    with pytest.raises(BadInputError, match="called") as caught:
        written(tmp_path / "longer", image=IMAGE, name=f"{'a' * 39}-b")
    assert f"--name, {'a' * 39} for instance" in caught.value.hint


def test_a_model_called_no_stays_so(tmp_path: Path) -> None:
    objects = written(tmp_path, image=IMAGE, name="no")
    assert objects["InferenceService"]["metadata"]["name"] == "no"
    assert container_of(objects)["args"][0] == "no=/bundle"


@pytest.mark.parametrize(
    ("chosen", "sentence", "hint"),
    [
        ({}, "needs the image", "--image REGISTRY/NAME:TAG"),
        ({"image": "a b"}, "'a b' is no name of an image", "registry.example"),
        ({"image": IMAGE, "name": "1e3"}, "called '1e3'", "net-1e3 for instance"),
        ({"image": IMAGE, "name": "My_Net"}, "called 'My_Net'", "my-net for instance"),
        ({"image": IMAGE, "storage_uri": "nets/a"}, "no address of a storage", "s3://bucket"),
        ({"image": IMAGE, "min_replicas": 5}, "At most 4 replicas", "--max-replicas"),
        ({"image": IMAGE, "min_replicas": 0}, "Only Knative", "--scale-metric concurrency"),
        ({"image": IMAGE, "scale_metric": "rps"}, "cannot be guessed", "--scale-target"),
        ({"image": IMAGE, "memory": "lots"}, "no amount of memory", "2Gi"),
        ({"image": IMAGE, "keys_secret": "A b"}, "called 'A b'", "--keys-secret"),
        ({"image": IMAGE, "namespace": "A b"}, "called 'A b'", "--namespace"),
        ({"runtime": "triton"}, "takes its models from a storage", "--storage-uri"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, chosen: dict[str, Any], sentence: str, hint: str
) -> None:
    subject = colours(tmp_path / "colours", "kserve", **chosen)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BadInputError, match=sentence) as caught:
        write(subject, out, silent)
    assert hint in caught.value.hint
    assert list(out.iterdir()) == []


def test_notes_say_what_is_still_to_do(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subject = colours(tmp_path / "colours", "kserve", **STORED, keys_secret="shop-keys")
    notes = json.dumps(write(subject, out, silent).notes)
    for part in ("kubectl apply -k {output}", "s3://nets/colours", "shop-keys", "--memory"):
        assert part in notes
