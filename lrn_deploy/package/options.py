"""What a bundle is packaged for: what the command line and other callers can choose."""

from __future__ import annotations

from dataclasses import dataclass

from lrn_deploy.options import REQUIRED, explained, option

TARGETS = ("triton", "kserve", "binary", "container", "systemd", "helm")
TRITON_BACKENDS = ("python", "onnxruntime", "tensorrt")


@explained
@dataclass(frozen=True)
class PackageOptions:
    """What a package is for, and how the network runs there."""

    to: str = option(REQUIRED, "What it is for.", choices=TARGETS)
    artifact: str = option(
        "", "Artifact that runs there. Default: what suits the device, as with 'serve'."
    )
    device: str = option("cpu", "Where it runs: cpu or cuda.", choices=("cpu", "cuda"))
    name: str = option("", "What the model is called there. Default: the bundle's name.")
    max_batch_size: int = option(16, "Rows that run together at most.", least=1, most=4096)
    instances: int = option(1, "Copies of the network that run at the same time.", least=1, most=64)
    threads: int = option(
        0,
        "Threads of one run on the CPU; 0 takes what was tuned, or the runtime's choice.",
        least=0,
    )
    triton_backend: str | None = option(
        None,
        "For triton: what runs the network. Default: what the artifact's format asks for.",
        choices=TRITON_BACKENDS,
    )
    max_queue_delay_us: int = option(
        0, "For triton: microseconds that a request waits for company.", least=0
    )
    max_queue_requests: int = option(
        1024, "For triton: requests that may wait; 0: any number.", least=0
    )
    default_timeout_us: int = option(
        0,
        "For triton: microseconds after which a waiting request is refused; 0: never.",
        least=0,
    )
    cpus: int = option(
        2, "For kserve and helm: cores that a replica is promised, and has at most.", least=1
    )
    memory: str = option(
        "",
        "For kserve and helm: memory of a replica, 2Gi for instance. Default: worked out from the "
        "network's size.",
    )
    image: str = option(
        "", "For kserve and helm: image of the server, as 'package --to container' lets one build."
    )
    namespace: str = option("", "For kserve: namespace of the objects. Default: kubectl's.")
    storage_uri: str = option(
        "",
        "For kserve: where the cluster fetches the bundle, s3://bucket/alexnet for instance. "
        "Default: it is in the image.",
    )
    runtime: str = option(
        "lrn-server",
        "For kserve: what answers; triton is KServe's own tritonserver.",
        choices=("lrn-server", "triton"),
    )
    min_replicas: int = option(
        1, "For kserve and helm: replicas at least; 0 needs a scale metric of Knative's.", least=0
    )
    max_replicas: int = option(4, "For kserve and helm: replicas at most.", least=1)
    scale_metric: str = option(
        "cpu",
        "For kserve: what replicas are added for; concurrency and rps need Knative.",
        choices=("cpu", "memory", "concurrency", "rps"),
    )
    scale_target: int = option(
        0,
        "For kserve and helm: how much of it each replica is to have. Default: 80 percent of cpu "
        "or memory, a full batch of concurrency.",
        least=0,
    )
    keys_secret: str = option(
        "", "For kserve and helm: secret with a file of API keys in it, called keys.json."
    )
    tls_secret: str = option(
        "", "For helm: secret of the type kubernetes.io/tls with the server's certificate."
    )
    server: str = option(
        "",
        "For binary: a one-file lrn-server to put the bundle into. Default: one is built. For "
        "systemd: the program to start. Default: /usr/local/bin/lrn-server.",
        metavar="FILE",
    )
