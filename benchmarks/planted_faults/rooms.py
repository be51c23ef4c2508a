"""The rooms whose code faults are planted in, and the tests that belong to each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """Part of the package.

    Attributes:
        sources: Files and folders of its code.
        tests: Files and folders of its unit tests; those that touch a module are run first.
        wider: Files and folders of tests that run its code among much else; they are run last.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    wider: tuple[str, ...] = ()


def _room(*sources: str, tests: str = "", wider: str = "") -> Room:
    return Room(
        tuple(f"lrn_deploy/{source}" for source in sources),
        (f"tests/unit/{tests or sources[0]}",),
        tuple(_wider(name) for name in wider.split()),
    )


def _wider(name: str) -> str:
    if "/" in name:
        return f"tests/{name}"
    return (
        f"tests/integration/{name}"
        if name == "build_engine"
        else f"tests/integration/test_{name}.py"
    )


_SERVER = ("batching", "http", "rest", "grpc", "protocol", "repository", "service.py")

ROOMS = {
    "serving": _room(
        *(f"serving/{part}" for part in _SERVER),
        tests="serving",
        wider="server server_life server_input server_paths server_log server_spans "
        "server_pages server_shared_memory server_descriptors server_clients "
        "server_failing_network server_faults_clients server_faults_input "
        "server_faults_limits server_faults_machine fuzz_server contract several_inputs client "
        "load",
    ),
    "security": _room(
        "serving/security", tests="serving/security", wider="server_keys server_tls client_security"
    ),
    "passes": _room(
        "passes",
        wider="raised_lrn optimize plugins import_onnx light_models validate build_engine openvino",
    ),
    "parity": _room("parity", wider="unit/workflows/validate mutations validate validate_inputs"),
    "bundle": _room("bundle", wider="unit/workflows e2e/test_bad_input.py python import"),
    "images": _room("images", wider="classify_cli preprocessing server_input"),
    "network": _room("network", wider="exported_modules several_inputs import python light_models"),
    "export": _room("export", wider="exported_modules several_inputs light_models python"),
    "tuning": _room("tuning", wider="unit/workflows/tune tune"),
    "latency": _room("latency", wider="unit/workflows/profile profile tune side_by_side"),
    "backends": _room(
        "backends", wider="unit/workflows/validate openvino python profile validate build_engine"
    ),
    "caffe": _room("caffe", wider="unit/workflows/import_network import light_models raised_lrn"),
    "onnx_files": _room(
        "onnx_files", wider="unit/workflows/import_network import_onnx import light_models"
    ),
    "client": _room("client", wider="client client_security load server_clients"),
    "load": _room("load", wider="load size_check overload"),
    "stores": _room("stores", wider="stores"),
    "package": _room("package", wider="server_systemd package_triton"),
    "sizing": _room("sizing", wider="size size_check"),
    "cluster": _room("cluster", wider="ray"),
    "lrn": _room("lrn.py", tests="test_lrn.py"),
}
"""Left out: what commands print and pages show, and what needs a GPU."""


def files(top: Path, room: Room) -> list[str]:
    """Its modules, as paths from the top of a checkout."""
    found: list[Path] = []
    for source in room.sources:
        where = top / source
        found += [where] if where.is_file() else sorted(where.rglob("*.py"))
    return [str(file.relative_to(top)) for file in found if file.name != "__init__.py"]
