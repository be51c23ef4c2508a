"""The sides of the three-way parity, each a process that a crash of another leaves alone.

``python -m benchmarks.gpu.parity_parts torch --out FOLDER``: the part ``torch`` computes the truth,
each network in float64 on the GPU, and what PyTorch makes of the same inputs in its own precisions;
the other parts hold ONNX Runtime and TensorRT against that truth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from safetensors.numpy import load_file as load_tensors
from safetensors.numpy import save_file as save_tensors

from benchmarks.gpu.engines import engine_names, open_engine
from benchmarks.gpu.files import write_json
from benchmarks.gpu.made import networks
from benchmarks.gpu.record import StageOptions, run_stage
from lrn_deploy.backends.protocol import Array, SessionBase
from lrn_deploy.backends.registry import cannot_run_here, place
from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import DONE, BadInputError, LrnDeployError
from lrn_deploy.parity.budgets import Budgets
from lrn_deploy.parity.inputs import regime_of
from lrn_deploy.placement import Placement
from lrn_deploy.workflows.validate.checks import Checked, fitting_batches, judge, run_in_batches
from lrn_deploy.workflows.validate.samples import Sample, read_samples

BATCHES = (1, 3, 32)
LARGEST = max(BATCHES)


class Part:
    """What one side found: rows, and its outputs for the comparison side by side.

    Args:
        options: The stage's.
        name: The side's.
    """

    def __init__(self, options: StageOptions, name: str) -> None:
        self.options = options
        self.folder = options.work / "parity"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{name}.json"
        self.rows: list[dict[str, Any]] = []
        self._write()

    def add(self, network: str, **row: Any) -> None:
        """Take in one row."""
        self.rows.append({"network": network} | row)
        self._write()

    def _write(self) -> None:
        write_json(self.file, {"rows": self.rows})


def torch_part(options: StageOptions) -> int:
    """The truth, and PyTorch in fp32, tf32, fp16 and bf16, as it is and with the fused kernels."""
    import torch

    from lrn_deploy.network import reload_network

    part = Part(options, "torch")
    device = "cpu" if options.dry else "cuda"
    for name, bundle, samples in bundles(options):
        truth = reload_network(bundle.manifest.model).module.double().to(device).eval()
        truths = {
            sample.name: ModuleSession(truth, bundle, torch.float64, device).run(sample.feeds)
            for sample in samples
        }
        save_tensors(
            {f"{key}/{out}": value for key, one in truths.items() for out, value in one.items()},
            part.folder / f"{name}.safetensors",
        )
        del truth
        for label, kind, tf32, fused in _torch_kinds():
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            try:
                module = reload_network(bundle.manifest.model).module.to(kind).to(device).eval()
                if fused:
                    from lrn_deploy.plugins.rewrite import fuse_lrn

                    fuse_lrn(module)
                session = ModuleSession(module, bundle, kind, device)
                checked = Checked(Placement("", "torch", device), label.split()[0])
                compare_all(part, name, label, checked, session, samples, BATCHES[-1:])
            except Exception as error:  # one precision less; torch raises what it likes
                part.add(name, what=label, reason=_reason(error))
    return DONE


def _torch_kinds() -> tuple[tuple[str, Any, bool, bool], ...]:
    import torch

    return (
        ("fp32", torch.float32, False, False),
        ("tf32", torch.float32, True, False),
        ("fp16", torch.float16, False, False),
        ("bf16", torch.bfloat16, False, False),
        ("fp32 fused", torch.float32, False, True),
        ("fp16 fused", torch.float16, False, True),
    )


class ModuleSession(SessionBase):
    """A module in a precision of its own, fed and read in the network's types.

    Args:
        module: Already of the type ``kind`` and on ``device``.
        bundle: Whose inputs and outputs it has.
        kind: A torch dtype.
        device: Where it is.
    """

    def __init__(self, module: Any, bundle: Bundle, kind: Any, device: str) -> None:
        self._module, self._kind, self._device = module, kind, device
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; float64 for a float64 module, else float32."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(feeds[self.inputs[0].name]))
        with torch.no_grad():
            y = self._module(x.to(self._device, self._kind))
        wide = torch.float64 if self._kind == torch.float64 else torch.float32
        return {self.outputs[0].name: y.to("cpu", wide).numpy()}


def onnxruntime_part(options: StageOptions) -> int:
    """Every graph of the bundles on ONNX Runtime's CUDA provider."""
    from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend

    part = Part(options, "onnxruntime")
    backend = OnnxRuntimeBackend("cpu" if options.dry else "cuda")
    for name, bundle, samples in bundles(options):
        for artifact, record in bundle.manifest.artifacts.items():
            if record.engine is not None:
                continue
            checked = Checked(place(artifact, backend), record.precision)
            try:
                with backend.load(bundle.load(artifact)) as session:
                    compare_all(part, name, artifact, checked, session, samples, BATCHES)
            except LrnDeployError as error:
                kind = "not_made_for_it" if cannot_run_here(record, backend, error) else "reason"
                part.add(name, what=artifact, precision=record.precision, **{kind: str(error)})
    return DONE


def tensorrt_part(options: StageOptions) -> int:
    """Every engine, and what the inspector tells of the types that it computes in."""
    part = Part(options, "tensorrt")
    for name, bundle, samples in bundles(options):
        for artifact in engine_names(bundle):
            record = bundle.manifest.artifact(artifact)
            assert record.engine is not None
            precision = record.engine.precision
            checked = Checked(Placement(artifact, "tensorrt", record.engine.version), precision)
            try:
                with open_engine(bundle, artifact, dry=options.dry) as session:
                    batches = fitting_batches(record, session, BATCHES)
                    compare_all(part, name, artifact, checked, session, samples, batches)
            except LrnDeployError as error:
                part.add(name, what=artifact, precision=precision, reason=str(error))
            part.add(name, what=f"{artifact}: types", realised=record.engine.realised)
    return DONE


def probes_part(options: StageOptions) -> int:
    """Every LRN of the networks alone, at all amplitudes, as an engine against float64."""
    from benchmarks.gpu.lrn_alone import check_lrn, on_cpu, on_tensorrt, on_tensorrt_layer

    part = Part(options, "probes")
    specs = {
        layer.spec for _, bundle, _ in bundles(options) for layer in bundle.manifest.lrn_layers
    }
    for spec in sorted(specs, key=str):
        for what, load in (("as built", on_tensorrt), ("own layer", on_tensorrt_layer)):
            row = check_lrn(spec, on_cpu if options.dry else load)
            part.add("LRN alone", what=what, **row)
    return DONE


def bundles(options: StageOptions) -> Iterator[tuple[str, Bundle, tuple[Sample, ...]]]:
    """The bundles of the stage ``made``, with their inputs.

    Raises:
        DamagedError: If there is none: that stage failed, then.
    """
    for name in networks(options):
        bundle = Bundle.open(options.work / name)
        yield name, bundle, read_samples(bundle)


def compare_all(
    part: Part,
    network: str,
    what: str,
    checked: Checked,
    session: Any,
    samples: tuple[Sample, ...],
    batches: tuple[int, ...],
) -> None:
    """Hold a session against the truth on every set of inputs, at every batch size."""
    truth = load_tensors(part.folder / f"{network}.safetensors")
    kept: dict[str, Array] = {}
    for batch in batches:
        for sample in samples:
            budget = Budgets().budget(checked.precision, regime_of(sample.name))
            for name, output in run_in_batches(session, sample.feeds, batch).items():
                check = judge(
                    checked, "outputs", name, output, truth[f"{sample.name}/{name}"], budget
                )
                check = check.model_copy(update={"inputs": sample.name, "batch": batch})
                row = check.model_dump(mode="json")
                part.add(network, what=what, precision=checked.precision, check=row)
                kept[f"{sample.name}/{name}"] = output
    file = f"{network}.{part.file.stem}.{what.replace(' ', '-')}.safetensors"
    save_tensors(kept, part.folder / file)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


PARTS: dict[str, Callable[[StageOptions], int]] = {
    "torch": torch_part,
    "onnxruntime": onnxruntime_part,
    "tensorrt": tensorrt_part,
    "probes": probes_part,
}


def main() -> int:
    """Run the part that is named first."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise BadInputError(f"Name one of {', '.join(PARTS)}.")
    return run_stage(PARTS[sys.argv.pop(1)])


if __name__ == "__main__":
    sys.exit(main())
