"""The chart: its templates are files beside this one, its values are made of what was chosen."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from lrn_deploy import __version__
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.helm.schema import schema
from lrn_deploy.package.replica import (
    DRAIN_SECONDS,
    PRE_DRAIN_SECONDS,
    QUEUE_BYTES,
    USER,
    check_replicas,
    image,
    memory,
    object_name,
)
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.package.yaml_text import scalar, yaml_text
from lrn_deploy.progress import Progress

_FILES = Path(__file__).parent / "files"
_FIELD = re.compile(r"@(\w+)@")


def write(subject: Subject, folder: Path, _progress: Progress) -> Written:
    """Write the chart.

    Raises:
        BadInputError: If the image, a secret's name or the replicas cannot be.
    """
    values = _values(subject)
    shutil.copytree(_FILES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py*"))
    text = (_FILES / "values.yaml").read_text(encoding="utf-8")
    text = _FIELD.sub(lambda found: values[found[1]], text)
    (folder / "values.yaml").write_text(text, encoding="utf-8")
    (folder / "values.schema.json").write_text(json.dumps(schema(), indent=2) + "\n")
    chart = {
        "apiVersion": "v2",
        "name": "lrn-server",
        "description": f"lrn-server with the network {subject.name}",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        # Whose probes can ask gRPC's health service.
        "kubeVersion": ">=1.27.0-0",
        "keywords": ["inference", "onnx", "lrn"],
    }
    (folder / ".helmignore").write_text("package.json\n")  # which is about the chart
    (folder / "Chart.yaml").write_text(yaml_text(chart), encoding="utf-8")
    return Written(notes=_notes(subject))


def _values(subject: Subject) -> dict[str, str]:
    """What stands in the place of each field of ``values.yaml``."""
    options = subject.options
    check_replicas(subject)
    if not options.min_replicas:
        raise BadInputError(
            "A chart cannot go down to no replica: nothing would start one for a request.",
            "Choose --min-replicas 1, or --to kserve with --scale-metric concurrency.",
        )
    threads = f"  threads: {options.threads}\n" if options.threads else ""
    values = {
        "model": subject.name,
        "artifact": subject.artifact_name if options.artifact else "",
        "image": image(subject),
        "device": options.device,
        "instances": options.instances,
        "rows": options.max_batch_size,
        "queue": QUEUE_BYTES,
        "pre_drain": PRE_DRAIN_SECONDS,
        "drain": DRAIN_SECONDS,
        "keys": object_name(options.keys_secret, "--keys-secret"),
        "tls": object_name(options.tls_secret, "--tls-secret"),
        "cpus": options.cpus,
        "memory": memory(subject),
        "gpus": int(options.device == "cuda"),
        "least": options.min_replicas,
        "most": options.max_replicas,
        "target": options.scale_target or 80,
        "user": USER,
    }
    return {name: scalar(value) for name, value in values.items()} | {"threads": threads}


def _notes(subject: Subject) -> tuple[str, ...]:
    notes = [
        f"Install it with: helm install {subject.name.lower()} {{output}}",
        "The image must have the bundle in /bundle, as of 'package --to container'; or say which "
        "claim has it, with --set model.claim=NAME.",
    ]
    if not subject.options.memory:
        notes.append(f"Memory was worked out as {memory(subject)}; --memory says otherwise.")
    return tuple(notes)
