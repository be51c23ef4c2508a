"""A folder that builds an image of the server with the bundle in it, by podman or docker.

The image holds Python, this package and what it needs at the versions that are installed here. The
one-file server would unpack itself anew at each start, into memory or onto a disk, and run only
where the C library is as new as here.
"""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

import lrn_deploy
from lrn_deploy.bundle import MANIFEST, Artifact, sha256
from lrn_deploy.errors import BadInputError
from lrn_deploy.package.carry import carry
from lrn_deploy.package.replica import DRAIN_SECONDS, USER, served
from lrn_deploy.package.requirements import pinned
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.progress import Progress

_RUNTIMES = {"onnx": "", "openvino": "openvino", "tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}
"""The extra that runs an artifact of each format, besides ONNX Runtime."""

_CONTAINERFILE = """\
# lrn-server with {name}. Written by lrn-deploy {version}, which has not built it.
# To pin the base by its digest: --build-arg BASE=docker.io/library/python@sha256:...
ARG BASE=docker.io/library/python:{python}-slim-bookworm

FROM ${{BASE}} AS build
COPY requirements.txt /requirements.txt
RUN python -m venv --without-pip /opt/lrn \\
 && python -m pip install --no-cache-dir --prefix /opt/lrn --requirement /requirements.txt
COPY lrn_deploy /opt/lrn/lib/python{python}/site-packages/lrn_deploy
# The root is read-only where it runs, so what Python would write at the first start is written now.
RUN /opt/lrn/bin/python -m compileall -q /opt/lrn/lib/python{python}/site-packages

FROM ${{BASE}}
ARG BASE
LABEL org.opencontainers.image.title="{name}" \\
      org.opencontainers.image.description="lrn-server with the network {name}" \\
      org.opencontainers.image.version="{version}" \\
      org.opencontainers.image.base.name="${{BASE}}" \\
      io.lrn-deploy.manifest="sha256:{manifest}"
COPY --from=build /opt/lrn /opt/lrn
COPY health.py /opt/lrn/health.py
COPY bundle /bundle
ENV PATH=/opt/lrn/bin:$PATH \\
    PYTHONDONTWRITEBYTECODE=1 \\
{gpu}    LRN_SERVER_BUNDLES={bundle} \\
    LRN_SERVER_HOST=0.0.0.0 \\
    LRN_SERVER_HTTP_PORT=8000 \\
    LRN_SERVER_GRPC_PORT=8001 \\
    LRN_SERVER_DEVICE={device} \\
    LRN_SERVER_THREADS={threads} \\
    LRN_SERVER_INSTANCES={instances} \\
    LRN_SERVER_MAX_BATCH_SIZE={rows} \\
    LRN_SERVER_DRAIN_SECONDS={drain}
EXPOSE 8000 8001
USER {user}:{user}
STOPSIGNAL SIGTERM
# Kubernetes has probes of its own and does not look at this; podman keeps it with --format docker.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \\
  CMD ["python", "/opt/lrn/health.py"]
ENTRYPOINT ["python", "-m", "lrn_deploy.lrn_server"]
"""
_GPU = """\
    NVIDIA_VISIBLE_DEVICES=all \\
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \\
"""

_HEALTH = '''\
"""Whether the server in this container is alive, for HEALTHCHECK."""

import os
import ssl
import urllib.request

secure = bool(os.environ.get("LRN_SERVER_TLS_CERT"))
port = os.environ.get("LRN_SERVER_HTTP_PORT", "8000")
context = ssl._create_unverified_context() if secure else None  # its own loopback address
url = f"http{'s' if secure else ''}://127.0.0.1:{port}/v2/health/live"
urllib.request.urlopen(url, timeout=4, context=context)
'''
_IGNORED = "*\n!Containerfile\n!requirements.txt\n!health.py\n!lrn_deploy\n!bundle\n"


def write(subject: Subject, folder: Path, progress: Progress) -> Written:
    """Write the Containerfile and all that it copies.

    Raises:
        BadInputError: If nothing in the image could run the artifact on the device.
        MissingError: If this package has no metadata of what it needs.
    """
    options = subject.options
    _check(subject)
    requirements = _requirements(subject)
    sources = Path(lrn_deploy.__file__).parent
    progress("copying the server", 0, 1)
    shutil.copytree(sources, folder / "lrn_deploy", ignore=_of_no_use)
    carry(subject, folder / "bundle", progress)
    texts = {
        "Containerfile": _CONTAINERFILE.format(
            name=subject.name,
            version=lrn_deploy.__version__,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            manifest=sha256((folder / "bundle" / MANIFEST).read_bytes()),
            gpu=_GPU if options.device == "cuda" else "",
            bundle=served(subject, "/bundle"),
            device=options.device,
            threads=options.threads,
            instances=options.instances,
            rows=options.max_batch_size,
            drain=DRAIN_SECONDS,
            user=USER,
        ),
        "requirements.txt": "".join(f"{line}\n" for line in requirements),
        "health.py": _HEALTH,
        ".containerignore": _IGNORED,
        ".dockerignore": _IGNORED,  # docker does not know the other name
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    tag = f"{subject.name.lower()}:{lrn_deploy.__version__}"
    gpu = " --device nvidia.com/gpu=all" if options.device == "cuda" else ""
    loose = [line for line in requirements if "==" not in line]
    return Written(
        notes=(
            f"Build it with: podman build --format docker -t {tag} {{output}}",
            f"or with: docker build -f {{output}}/Containerfile -t {tag} {{output}}",
            f"Run it with: podman run --read-only --cap-drop all -p 8000:8000{gpu} {tag}",
            *([f"Not pinned, as it is not installed here: {', '.join(loose)}"] if loose else []),
        )
    )


def _check(subject: Subject) -> None:
    artifacts = _artifacts(subject)
    gpu = [one for one in artifacts if one.engine is not None]
    if subject.options.artifact and gpu and subject.options.device == "cpu":
        raise BadInputError(
            f"'{subject.artifact_name}' is an engine for a GPU, and the image is for the CPU.",
            "Add --device cuda, or choose another with --artifact.",
        )


def _artifacts(subject: Subject) -> list[Artifact]:
    """What the image may have to run."""
    if subject.options.artifact:
        return [subject.artifact]
    return list(subject.bundle.manifest.artifacts.values())


def _requirements(subject: Subject) -> list[str]:
    cuda = subject.options.device == "cuda"
    extras, said = ["serve", "gpu" if cuda else "cpu"], []
    artifacts = _artifacts(subject)
    if cuda:
        # Of the same release as ONNX Runtime here, with NVIDIA's libraries from the same index.
        said.append(f"onnxruntime-gpu[cuda,cudnn]{_same_as('onnxruntime-gpu', 'onnxruntime')}")
    chosen = subject.placement.backend if subject.placement else ""
    for artifact in artifacts:
        extra = _RUNTIMES[artifact.format]
        if extra and (artifact.engine is None or cuda):
            extras.append(extra)
        if artifact.engine is not None and cuda:
            package = "tensorrt-rtx" if artifact.format == "tensorrt-rtx" else "tensorrt"
            said.append(f"{package}=={artifact.engine.version}")  # which alone loads it
    if chosen == "openvino":
        extras.append("openvino")
    return pinned(extras, said)


def _same_as(*names: str) -> str:
    """The version of the first of some packages that is installed, as a requirement has it."""
    for name in names:
        try:
            return f"=={metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return ">=1.21"  # the first that brings NVIDIA's libraries


def _of_no_use(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__" or name.endswith(".pyc")}
