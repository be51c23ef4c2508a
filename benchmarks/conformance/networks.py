"""The two networks that both servers serve, and how they are told to queue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.bundles import graph_bundle
from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run

MAX_BATCH = 8
QUEUE_SIZE = 3
DELAY_US = 400_000
TIMEOUT_US = 20_000_000
PREFERRED = 4
"""A batch of so many rows leaves at once, a smaller one waits for ``DELAY_US``."""

OURS = (
    *("--threads", "1", "--max-batch-size", str(MAX_BATCH), "--batching", "fixed"),
    *("--max-queue-delay-us", str(DELAY_US), "--preferred-batch-sizes", str(PREFERRED)),
    *("--max-queue-requests", str(QUEUE_SIZE), "--default-timeout-us", str(TIMEOUT_US)),
    *("--access-log", "none", "--model-control"),
)
TRITON = f"""
  preferred_batch_size: [{PREFERRED}]
  max_queue_delay_microseconds: {DELAY_US}
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {TIMEOUT_US}
    allow_timeout_override: true
    max_queue_size: {QUEUE_SIZE}
  }}
"""


@dataclass(frozen=True)
class Networks:
    """Bundles: ``digits``, float32 to ten logits, and ``picture``, uint8 to two outputs."""

    digits: Bundle
    picture: Bundle

    @property
    def graphs(self) -> dict[str, Path]:
        """The ONNX files."""
        return {one.manifest.model.name: one.path / "model.onnx" for one in self._all}

    @property
    def labels(self) -> dict[str, Path]:
        """The files of class names."""
        return {one.manifest.model.name: one.path / "labels.txt" for one in self._all}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The bundles' folders."""
        return tuple(one.path for one in self._all)

    @property
    def _all(self) -> tuple[Bundle, Bundle]:
        return self.digits, self.picture


def make_networks(folder: Path) -> Networks:
    """Write both bundles into ``folder``."""
    if run(["export", "digits", "-o", str(folder / "digits")]) != 0:
        raise RuntimeError("digits could not be exported")
    picture = graph_bundle(
        folder / "picture", _picture(), (3, 4, 4), ("red", "green", "blue", "grey")
    )
    return Networks(Bundle.open(folder / "digits"), picture)


def _picture() -> onnx.ModelProto:
    """Pixels (N, 4, 4, 3) -> features (N, 4, 4, 4) behind a convolution and LRN, scores (N, 4)."""
    weights = np.random.default_rng(5).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["values", "weights"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["positive"]),
        helper.make_node("LRN", ["positive"], ["features"], size=3, alpha=1e-3, beta=0.75),
        helper.make_node("GlobalAveragePool", ["features"], ["means"]),
        helper.make_node("Flatten", ["means"], ["scores"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "picture",
        [value("pixels", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [
            value("scores", TensorProto.FLOAT, ["batch", 4]),
            value("features", TensorProto.FLOAT, ["batch", 4, 4, 4]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
