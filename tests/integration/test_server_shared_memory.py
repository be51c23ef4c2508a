"""System shared memory, driven by Triton's own clients and their own utilities."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from tests.support.image_bundles import colour_bundle
from tests.support.servers import Running, serving

PIXELS = np.zeros((2, 3, 8, 8), np.float32)
PIXELS[0, 0] = 1
PIXELS[1, 2] = 0.5
SCORES = [[10, 0, 0], [0, 0, 5]]  # ten times the mean of each channel
SIZE = PIXELS.nbytes
MODULES = [tritonclient.http, tritonclient.grpc]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("colours") / "bundle"
    colour_bundle(folder)
    with serving(folder, "--shared-memory", "--access-log", "none") as running:
        yield running


@pytest.fixture
def client(server: Running, request: pytest.FixtureRequest) -> Iterator[Any]:
    module = request.param
    with module.InferenceServerClient(
        server.http if module is tritonclient.http else server.grpc
    ) as made:
        yield made
        made.unregister_system_shared_memory()


@pytest.fixture
def region() -> Iterator[Any]:
    """A region of the client's: 64 bytes of its own, the pixels, and 24 bytes for the scores."""
    handle = shm.create_shared_memory_region("ours", f"/lrn-test-{os.getpid()}", 64 + SIZE + 24)
    shm.set_shared_memory_region(handle, [PIXELS], offset=64)
    yield handle
    shm.destroy_shared_memory_region(handle)


def key() -> str:
    return f"/lrn-test-{os.getpid()}"


def tensors(client: Any, *, size: int = SIZE, offset: int = 64, out: int = 24) -> tuple[Any, Any]:
    module = tritonclient.http if "http" in type(client).__module__ else tritonclient.grpc
    tensor = module.InferInput("image", PIXELS.shape, "FP32")
    tensor.set_shared_memory("r", size, offset=offset)
    output = module.InferRequestedOutput("scores")
    output.set_shared_memory("r", out, offset=64 + SIZE)
    return tensor, output


@pytest.mark.parametrize("client", MODULES, indirect=True)
def test_inputs_are_read_and_outputs_written_where_the_client_says(
    client: Any, region: Any
) -> None:
    client.register_system_shared_memory("r", key(), 64 + SIZE + 24)
    tensor, output = tensors(client)
    result = client.infer("colours", [tensor], outputs=[output])
    found = shm.get_contents_as_numpy(region, np.float32, [2, 3], offset=64 + SIZE)
    assert found.tolist() == SCORES
    described = result.get_output("scores")
    parameters = described["parameters"] if isinstance(described, dict) else described.parameters
    assert "shared_memory_region" in parameters


@pytest.mark.parametrize("client", MODULES, indirect=True)
@pytest.mark.usefixtures("region")
def test_a_region_may_begin_within_the_object(client: Any) -> None:
    client.register_system_shared_memory("r", key(), SIZE + 24, offset=64)
    module = tritonclient.http if "http" in type(client).__module__ else tritonclient.grpc
    tensor = module.InferInput("image", PIXELS.shape, "FP32")
    tensor.set_shared_memory("r", SIZE)
    result = client.infer("colours", [tensor])
    assert result.as_numpy("scores").tolist() == SCORES
    more = {} if module is tritonclient.http else {"as_json": True}
    status = client.get_system_shared_memory_status(**more)
    entry = status[0] if isinstance(status, list) else status["regions"]["r"]
    assert (entry["name"], entry["key"]) == ("r", key())
    assert (int(entry["offset"]), int(entry["byte_size"])) == (64, SIZE + 24)
    client.unregister_system_shared_memory("r")
    assert not client.get_system_shared_memory_status(**more)
    with pytest.raises(InferenceServerException, match="no shared memory region 'r'"):
        client.infer("colours", [tensor])


@pytest.mark.parametrize("client", MODULES, indirect=True)
@pytest.mark.usefixtures("region")
def test_what_is_out_of_bounds_is_refused(client: Any) -> None:
    whole = 64 + SIZE + 24
    for name, size, offset, said in (
        ("/lrn-nothing-there", 10, 0, "cannot be opened"),
        ("/../etc/passwd", 10, 0, "no name of a shared memory object"),
        (key(), whole + 1, 0, "must lie within"),
        (key(), whole, 1, "must lie within"),
        (key(), 0, 0, "must lie within"),
        (key(), 10, 2**40, "must lie within"),
    ):
        with pytest.raises(InferenceServerException, match=said):
            client.register_system_shared_memory("bad", name, size, offset=offset)
    client.register_system_shared_memory("r", key(), whole)
    with pytest.raises(InferenceServerException, match="registered already"):
        client.register_system_shared_memory("r", key(), whole)
    for wrong, said in (
        ({"size": SIZE - 4}, f"takes {SIZE} bytes"),
        ({"offset": whole - SIZE + 1}, "do not lie within"),
        ({"out": 25}, "do not lie within"),
        ({"out": 20}, "has 24 bytes"),
    ):
        tensor, output = tensors(client, **wrong)
        with pytest.raises(InferenceServerException, match=said):
            client.infer("colours", [tensor], outputs=[output])


@pytest.mark.parametrize("client", MODULES[:1], indirect=True)
@pytest.mark.usefixtures("region")
def test_a_region_that_is_cut_short_does_not_end_the_server(client: Any) -> None:
    client.register_system_shared_memory("r", key(), 64 + SIZE + 24)
    os.truncate(f"/dev/shm{key()}", 100)
    tensor, output = tensors(client)
    with pytest.raises(InferenceServerException, match="cut short"):
        client.infer("colours", [tensor], outputs=[output])
    assert client.is_server_live()
    os.truncate(f"/dev/shm{key()}", 64 + SIZE + 24)


def test_a_folder_or_a_link_is_no_region(server: Running, tmp_path: Path) -> None:
    link = Path(f"/dev/shm/lrn-link-{os.getpid()}")
    target = tmp_path / "secret"
    target.write_bytes(bytes(100))
    link.symlink_to(target)
    try:
        body = json.dumps({"key": f"/{link.name}", "offset": 0, "byte_size": 10}).encode()
        reply = server.call("POST", "/v2/systemsharedmemory/region/x/register", body)
    finally:
        link.unlink()
    assert (reply.status, "cannot be opened" in reply.content["error"]) == (400, True)


def test_it_is_advertised_only_when_it_is_on(server: Running, tmp_path: Path) -> None:
    assert "system_shared_memory" in server.call("GET", "/v2").content["extensions"]
    colour_bundle(tmp_path / "b")
    with serving(tmp_path / "b") as running:
        assert "system_shared_memory" not in running.call("GET", "/v2").content["extensions"]
        reply = running.call("GET", "/v2/systemsharedmemory/status")
        assert (reply.status, "switched off" in reply.content["error"]) == (501, True)
        with tritonclient.grpc.InferenceServerClient(running.grpc) as off:
            with pytest.raises(InferenceServerException, match="switched off"):
                off.get_system_shared_memory_status()
            with pytest.raises(InferenceServerException, match="switched off"):
                off.infer("colours", [tensors(off)[0]])
