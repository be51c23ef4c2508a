"""How long exporting AlexNet takes, against a bare ``torch.onnx.export(dynamo=True)``.

Both start from the same module and end with a complete ONNX file on disk; ours also keeps each LRN
whole, checks the graph in full, names its values, and has the weights in that one file, where the
other leaves them in a second one.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import torch

from benchmarks.harness import interleaved, ratio, spread, write_result
from lrn_deploy.bundle import write_atomic
from lrn_deploy.export import to_onnx
from lrn_deploy.network import load_network

MODEL = "alexnet"
ROUNDS = 20
WARMUP = 2
LIMIT = 1.3


def main() -> None:
    """Measure, print and write ``results/export_time.json``."""
    network = load_network(MODEL)
    example = torch.zeros(2, *network.source.input_shape)

    def bare(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.module,
                (example,),
                folder / "bare.onnx",
                dynamo=True,
                verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )

    def ours(folder: Path) -> None:
        write_atomic(folder / "ours.onnx", to_onnx(network, network.preprocessing).data)

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = interleaved(
            {
                "torch.onnx.export": lambda: bare(folder),
                "lrn-deploy": lambda: ours(folder),
            },
            rounds=ROUNDS,
            warmup=WARMUP,
        )
    ratios = ratio(samples["lrn-deploy"], samples["torch.onnx.export"])
    file = write_result(
        "export_time",
        {
            "what": f"{MODEL}: module in memory to ONNX file on disk, warm, seconds",
            "samples_s": samples,
            "summary_s": {name: spread(values) for name, values in samples.items()},
            "ratio": ratios,
            "limit": LIMIT,
        },
    )
    for name, values in samples.items():
        print(f"{name:<18} {spread(values)['median']:.2f} s")
    print(
        f"ratio              {ratios['median']:.2f} (quartiles {ratios['p25']:.2f} to "
        f"{ratios['p75']:.2f}), of the medians {ratios['of_medians']:.2f}; the aim is {LIMIT}"
    )
    print(f"wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


if __name__ == "__main__":
    main()
