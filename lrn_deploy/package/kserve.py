"""KServe: a ServingRuntime that starts our server, and an InferenceService that asks for it.

Replicas are plain Deployments (KServe's mode Standard, from 0.16 on), unless they are to follow
concurrency or requests a second, which only Knative can do. Knative wants one port, no pod-wide
settings and its own time to end, so gRPC and its health service are for Standard.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lrn_deploy.errors import BadInputError
from lrn_deploy.package.replica import (
    GRACE_SECONDS,
    check_replicas,
    cluster_name,
    ending_options,
    image,
    memory,
    network_options,
    object_name,
    served,
)
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.package.yaml_text import yaml_text
from lrn_deploy.progress import Progress

_MODELS = "/mnt/models"  # where KServe puts what it fetches from the storage
_IN_IMAGE = "/bundle"  # where 'package --to container' puts it
_KEYS = "/etc/lrn-server/keys"
_HTTP, _GRPC = 8080, 9000  # KServe's own numbers
_FORMAT = "lrn-deploy"
_URI = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_OF_KNATIVE = ("concurrency", "rps")

Object = dict[str, Any]


def write(subject: Subject, folder: Path, _progress: Progress) -> Written:
    """Write the objects, and a kustomization that names them.

    Raises:
        BadInputError: If the name, the image, the storage or the replicas cannot be.
    """
    name = cluster_name(subject)
    _check(subject)
    objects = {"inferenceservice.yaml": _service(subject, name)}
    if subject.options.runtime == "lrn-server" and subject.options.storage_uri:
        objects["servingruntime.yaml"] = _runtime(subject, name)
    objects["kustomization.yaml"] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(objects, reverse=True),  # the runtime first
    }
    for file, content in objects.items():
        (folder / file).write_text(yaml_text(content), encoding="utf-8")
    return Written(notes=_notes(subject))


def _check(subject: Subject) -> None:
    options = subject.options
    if options.runtime == "triton" and not options.storage_uri:
        raise BadInputError(
            "KServe's tritonserver takes its models from a storage, and none was said.",
            "Add --storage-uri with where you put what 'package --to triton' made.",
        )
    if options.storage_uri and not _URI.fullmatch(options.storage_uri):
        raise BadInputError(
            f"'{options.storage_uri}' is no address of a storage.",
            "Write it as s3://bucket/folder, gs://bucket/folder or pvc://claim/folder.",
        )
    check_replicas(subject)
    object_name(options.namespace, "--namespace")
    object_name(options.keys_secret, "--keys-secret")
    if not options.min_replicas and not _knative(subject):
        raise BadInputError(
            "Only Knative can go down to no replica, and it does not scale by "
            f"{options.scale_metric}.",
            "Add --scale-metric concurrency, or --min-replicas 1.",
        )
    if options.scale_metric == "rps" and not options.scale_target:
        raise BadInputError(
            "How many requests a second one replica is for cannot be guessed.",
            "Add --scale-target; 'lrn-deploy load' measures what a server can do.",
        )


def _knative(subject: Subject) -> bool:
    return subject.options.scale_metric in _OF_KNATIVE


def _usual_target(subject: Subject) -> int:
    """Percent of what a replica is promised, or as many requests as its networks run together."""
    options = subject.options
    return options.max_batch_size * options.instances if _knative(subject) else 80


def _runtime(subject: Subject, name: str) -> Object:
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": _metadata(subject, f"{name}-lrn-server"),
        "spec": {
            "annotations": _watched(),
            "supportedModelFormats": [{"name": _FORMAT, "version": "1", "autoSelect": True}],
            "protocolVersions": ["v2"] if _knative(subject) else ["v2", "grpc-v2"],
            # KServe puts the InferenceService's name for {{.Name}}: callers ask by that name.
            "containers": [_container(subject, "{{.Name}}", _MODELS)],
            "volumes": _volumes(subject),
        },
    }


def _service(subject: Subject, name: str) -> Object:
    options = subject.options
    predictor: Object = {
        "minReplicas": options.min_replicas,
        "maxReplicas": options.max_replicas,
        "scaleMetric": options.scale_metric,
        "scaleTarget": options.scale_target or _usual_target(subject),
    }
    if not _knative(subject):
        predictor |= {
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
    if options.storage_uri:
        triton = options.runtime == "triton"
        predictor["model"] = {
            "modelFormat": {"name": "triton"} if triton else {"name": _FORMAT, "version": "1"},
            "protocolVersion": "v2",
            "runtime": "kserve-tritonserver" if triton else f"{name}-lrn-server",
            "storageUri": options.storage_uri,
            "resources": _resources(subject),
        }
        if triton:  # KServe's own runtime has no probes
            predictor["model"] |= _probes(name, grpc=False)
    else:
        predictor["containers"] = [_container(subject, name, _IN_IMAGE)]
        predictor["volumes"] = _volumes(subject)
    metadata = _metadata(subject, name)
    mode = "Knative" if _knative(subject) else "Standard"
    metadata["annotations"] = {"serving.kserve.io/deploymentMode": mode}
    if not _knative(subject):
        metadata["annotations"]["serving.kserve.io/autoscalerClass"] = "hpa"
    if not options.storage_uri:  # else the runtime says so
        metadata["annotations"] |= _watched()
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }


def _metadata(subject: Subject, name: str) -> Object:
    metadata: Object = {"name": name}
    if subject.options.namespace:
        metadata["namespace"] = subject.options.namespace
    return metadata | {
        "labels": {
            "app.kubernetes.io/name": "lrn-server",
            "app.kubernetes.io/instance": subject.name,
            "app.kubernetes.io/managed-by": "lrn-deploy",
        }
    }


def _watched() -> Object:
    return {"prometheus.kserve.io/port": str(_HTTP), "prometheus.kserve.io/path": "/metrics"}


def _container(subject: Subject, name: str, bundle: str) -> Object:
    grpc = not _knative(subject)
    bundle = served(subject, bundle).replace(subject.name, name, 1)
    args = [bundle, "--host", "0.0.0.0"]  # noqa: S104  # the pod's network, which the cluster guards
    args += ["--http-port", str(_HTTP), "--grpc-port", str(_GRPC if grpc else -1)]
    args += network_options(subject)
    # All connections come from the few addresses of the cluster's gateways.
    args += ["--max-connections-per-peer", "0", *ending_options()]
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  # the root is read-only
    if subject.options.keys_secret:
        args += ["--keys", f"{_KEYS}/keys.json"]
        mounts.append({"name": "keys", "mountPath": _KEYS, "readOnly": True})
    ports: list[Object] = [{"name": "http1", "containerPort": _HTTP, "protocol": "TCP"}]
    if grpc:
        ports.append({"name": "h2c", "containerPort": _GRPC, "protocol": "TCP"})
    return {
        "name": "kserve-container",
        "image": image(subject),
        "args": args,
        # KServe reads of it which protocol a container of one's own speaks.
        "env": [{"name": "PROTOCOL", "value": "v2"}],
        "ports": ports,
        "resources": _resources(subject),
        **_probes(name, grpc=grpc),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    }


def _probes(name: str, *, grpc: bool) -> Object:
    """Alive by HTTP; ready by gRPC's health service where there is one, so that both are tried."""
    ready = {"httpGet": {"path": "/v2/health/ready", "port": _HTTP}}
    asked = {"grpc": {"port": _GRPC, "service": name}} if grpc else ready
    live = {"httpGet": {"path": "/v2/health/live", "port": _HTTP}}
    return {
        # Nothing else is asked until it is ready for the first time, for which it has five minutes.
        "startupProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 150},
        "livenessProbe": {**live, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
        # Seen well within the seconds in which a replica that ends still takes requests.
        "readinessProbe": {**asked, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 1},
    }


def _resources(subject: Subject) -> Object:
    """As much as it may take is what it is promised; KServe would set limits of its own else."""
    amounts = {"cpu": str(subject.options.cpus), "memory": memory(subject)}
    if subject.options.device == "cuda":
        amounts["nvidia.com/gpu"] = "1"
    return {"requests": amounts, "limits": dict(amounts)}


def _volumes(subject: Subject) -> list[Object]:
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    if subject.options.keys_secret:
        secret = {"secretName": subject.options.keys_secret, "defaultMode": 0o444}
        volumes.append({"name": "keys", "secret": secret})
    return volumes


def _notes(subject: Subject) -> tuple[str, ...]:
    options = subject.options
    notes = ["Apply it with: kubectl apply -k {output}"]
    if options.runtime == "triton":
        notes.insert(0, f"Put what 'package --to triton' made at {options.storage_uri} first.")
    elif options.storage_uri:
        notes.insert(0, f"Put the bundle at {options.storage_uri} first.")
    else:
        notes.append(
            f"The image must have the bundle in {_IN_IMAGE}, as of 'package --to container'."
        )
    if options.keys_secret:
        notes.append(
            f"The secret '{options.keys_secret}' needs the file of keys: kubectl create secret "
            f"generic {options.keys_secret} --from-file=keys.json"
        )
    if not options.memory:
        notes.append(f"Memory was worked out as {memory(subject)}; --memory says otherwise.")
    return tuple(notes)
