"""The network behind Ray Serve: a deployment whose method is batched by Ray, bytes both ways."""

import os
import signal
from typing import Any

import numpy as np
import onnxruntime
import ray  # type: ignore[import-not-found,unused-ignore] # in its own environment
from ray import serve  # type: ignore[import-not-found,unused-ignore] # likewise
from starlette.requests import Request
from starlette.responses import Response

ROWS = int(os.environ["PEER_MAX_BATCH"])


# By default five requests are let in at once, of which no batch of more can be made.
@serve.deployment(num_replicas=1, max_ongoing_requests=4 * ROWS, ray_actor_options={"num_cpus": 1})
class Network:
    """One replica, as one session uses all the threads it is given."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_ONNX"], options, providers=["CPUExecutionProvider"]
        )
        self.spec = self.session.get_inputs()[0]
        self.dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[self.spec.type]

    # It waits 10 ms for company, Ray's own default.
    # Ray's types are not read where this package is checked.
    @serve.batch(max_batch_size=ROWS)  # type: ignore[untyped-decorator,unused-ignore]
    async def predict(self, bodies: list[bytes]) -> list[bytes]:
        """Run a batch."""
        rows = np.stack([np.frombuffer(body, self.dtype) for body in bodies])
        batch = rows.reshape(-1, *self.spec.shape[1:])
        return [row.tobytes() for row in self.session.run(None, {self.spec.name: batch})[0]]

    async def __call__(self, request: Request) -> Any:
        """One request."""
        if request.method == "GET":
            return Response(b"ready")
        row = await self.predict(await request.body())
        return Response(row, media_type="application/octet-stream")


if __name__ == "__main__":
    ray.init(
        address="local",  # a cluster of its own, whatever else runs here
        num_cpus=int(os.environ["PEER_THREADS"]) + 1,
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        log_to_driver=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])})
    serve.run(Network.bind())  # type: ignore[attr-defined,unused-ignore] # Ray's decorator adds it
    signal.sigwait({signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()
