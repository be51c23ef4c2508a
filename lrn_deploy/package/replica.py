"""What one running copy of the server is given, wherever it runs: options, time to end, memory."""

from __future__ import annotations

import re

from lrn_deploy.errors import BadInputError
from lrn_deploy.package.subject import Subject

PRE_DRAIN_SECONDS = 10
"""For the news that a replica ends to reach all that send to it, which takes a cluster seconds."""
DRAIN_SECONDS = 30
GRACE_SECONDS = PRE_DRAIN_SECONDS + DRAIN_SECONDS + 10
"""After which it is killed: later than it would have ended by itself."""
USER = 65532
"""User and group of the server in a container; the number that images without root settled on."""

_MIB = 2**20
_STEP = 128 * _MIB
QUEUE_BYTES = 256 * _MIB
"""Of requests that wait: less than the server's own limit, which is meant for a whole machine."""
_PROGRAM = 256 * _MIB  # Python, ONNX Runtime, and requests on their way in
_COPIES = 2  # of the weights while a network is loaded: the file's and those that are packed
_CLUSTER_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_AMOUNT = re.compile(r"[1-9][0-9]*(\.[0-9]+)?([KMGT]i|[kMGT])?")
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def served(subject: Subject, folder: str) -> str:
    """How the server is told of the bundle in ``folder``, as NAME=FOLDER:ARTIFACT.

    The artifact stands there if one was chosen; else the server takes what suits the machine.
    """
    chosen = f":{subject.artifact_name}" if subject.options.artifact else ""
    return f"{subject.name}={folder}{chosen}"


def network_options(subject: Subject) -> tuple[str, ...]:
    """How the network is run, as ``lrn-server`` takes it.

    The threads of a run are said, since ONNX Runtime counts the machine's cores, and a replica has
    fewer: threads that take turns on them would make each run several times as long.
    """
    options = subject.options
    words = ["--device", options.device]
    if options.device == "cpu":
        threads = options.threads or max(1, options.cpus // options.instances)
        words += ["--threads", str(threads)]
    words += ["--instances", str(options.instances)]
    words += ["--max-batch-size", str(options.max_batch_size)]
    return (*words, "--max-queue-bytes", str(QUEUE_BYTES))


def ending_options() -> tuple[str, ...]:
    """How the server ends without losing a request, and that something else starts it again."""
    drain = ("--pre-drain-seconds", str(PRE_DRAIN_SECONDS), "--drain-seconds", str(DRAIN_SECONDS))
    return (*drain, "--no-supervise")


def memory(subject: Subject) -> str:
    """Memory of a replica as Kubernetes writes it: what was said, or worked out from the network.

    Raises:
        BadInputError: If what was said is no amount.
    """
    if said := subject.options.memory:
        if not _AMOUNT.fullmatch(said):
            raise BadInputError(
                f"'{said}' is no amount of memory.", "Write --memory 2Gi or --memory 900Mi."
            )
        return said
    artifact = subject.artifact
    size = artifact.size + sum(record.size for record in artifact.companions)
    wanted = _PROGRAM + QUEUE_BYTES + _COPIES * subject.options.instances * size
    return f"{-(-wanted // _STEP) * _STEP // _MIB}Mi"


def cluster_name(subject: Subject) -> str:
    """The model's name, if a cluster can have an object of that name.

    Raises:
        BadInputError: If it cannot.
    """
    if _CLUSTER_NAME.fullmatch(subject.name):
        return subject.name
    usable = re.sub(r"[^a-z0-9]+", "-", subject.name.lower()).strip("-")
    usable = usable if usable[:1].isalpha() else f"net-{usable}"
    raise BadInputError(
        f"A cluster cannot have an object called '{subject.name}': its names are of up to 40 "
        "lower-case letters, digits and dashes, a letter first.",
        f"Choose another with --name, {usable[:40].rstrip('-')} for instance.",
    )


def image(subject: Subject) -> str:
    """The image that was said.

    Raises:
        BadInputError: If none was, or it is no image's name.
    """
    said = subject.options.image
    if not said:
        raise BadInputError(
            f"--to {subject.options.to} needs the image of the server that the cluster is to run.",
            "Add --image REGISTRY/NAME:TAG; 'package --to container' writes what builds one.",
        )
    if not _IMAGE.fullmatch(said):
        raise BadInputError(
            f"'{said}' is no name of an image.", "Write it as registry.example/team/alexnet:1.0."
        )
    return said


def object_name(said: str, option: str) -> str:
    """The name of an object that is there already, a secret for instance; empty if none was said.

    Raises:
        BadInputError: If a cluster cannot have an object of that name.
    """
    if said and not _OBJECT_NAME.fullmatch(said):
        raise BadInputError(
            f"A cluster cannot have an object called '{said}'.",
            f"Give {option} a name of lower-case letters, digits, dashes and dots.",
        )
    return said


def check_replicas(subject: Subject) -> None:
    """Refuse a range of replicas that is none.

    Raises:
        BadInputError: If it ends before it begins.
    """
    options = subject.options
    if options.max_replicas < options.min_replicas:
        raise BadInputError(
            f"At most {options.max_replicas} replicas cannot be with at least "
            f"{options.min_replicas}.",
            "Change --min-replicas or --max-replicas.",
        )
