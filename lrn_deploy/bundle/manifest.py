"""The manifest of a bundle: what it holds, where each thing came from, and what each byte is.

``manifest.json`` is the truth about a bundle; every table and page is drawn from it and from the
reports. The models here are plain frozen pydantic models; reading, hashing and writing them is
:mod:`lrn_deploy.bundle.store`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from lrn_deploy.bundle.preprocessing import Preprocessing
from lrn_deploy.bundle.record import Record
from lrn_deploy.bundle.tensors import TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.placement import MODEL, Placement
from lrn_deploy.precision import EnginePrecision
from lrn_deploy.said import NAMES

SCHEMA_VERSION = 1


class Weights(Record):
    """Where the weights came from.

    Attributes:
        kind: ``random`` (seeded He-normal), ``shipped`` with this package, from a ``file``, or
            whatever the user's ``factory`` put there or the ``module`` held.
        seed: Seed of random weights.
        file: Absolute path of the weights file, for kind ``file``; its name for ``shipped``.
        sha256: Digest of that file (of an index over shards: over it and the shards' digests), or
            of the weights' names and bytes where there is none.
        note: One sentence for people.
        mapping: Keys that lead to the weights within the file, joined by ``/``; empty where
            nothing had to be unwrapped.
        stripped: What was taken out of the keys there, ``module.`` for instance.
        renamed: Whose names the layers have there, and the order of axes if it is not PyTorch's;
            empty where the names are the network's own.
    """

    kind: Literal["random", "shipped", "file", "factory", "module"]
    seed: int | None = None
    file: str | None = None
    sha256: str | None = None
    note: str = ""
    mapping: str = ""
    stripped: tuple[str, ...] = ()
    renamed: str = ""


class ModelSource(Record):
    """What was exported.

    Attributes:
        name: What the bundle is called, and served as: its folder's name, or as ``--name`` said.
        factory: ``zoo name``, ``package.module:factory``, ``/abs/file.py:factory``, the absolute
            path of the prototxt or ONNX file of a network that was imported, or the class of a
            module.
        origin: Whether ``factory`` names a network of the zoo, a callable of the user's, a file of
            Caffe's or an ONNX file, or only the class of a ``module`` that a program had made,
            which nothing can make again.
        sha256: Digest of the file that ``factory`` names, of an imported network.
        runtime: What runs an imported ONNX file as it is: the reference.
        stages: Stages of Caffe's that were said to hold, besides those of the prototxt.
        input_shape: Shape of the input, the first one of several, without the batch axis.
        weights: Where the weights came from.
    """

    name: str
    factory: str
    origin: Literal["zoo", "factory", "caffe", "onnx", "module"]
    sha256: str | None = None
    runtime: Literal["onnxruntime", "openvino"] | None = None
    stages: tuple[str, ...] = ()
    input_shape: tuple[int, ...]
    weights: Weights

    @property
    def imported(self) -> bool:
        """Whether it is of files that somebody else made: those are its reference."""
        return self.origin in ("caffe", "onnx")


def _spec_from_json(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        return LrnSpec(**value)
    except (BadInputError, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from error  # pydantic reports a ValueError with its place


SpecField = Annotated[
    LrnSpec,
    BeforeValidator(_spec_from_json),
    PlainSerializer(
        lambda spec: {"size": spec.size, "alpha": spec.alpha, "beta": spec.beta, "k": spec.k}
    ),
]


class LrnLayer(Record):
    """One LRN layer of the network, as PyTorch was told to compute it.

    Attributes:
        name: Path of the torch module that called it, ``net.2`` for instance.
        spec: Its parameters: those of the call in torch, or those that its operators were proven
            to compute; never a graph's attributes.
        convention: Which channels the size means in ``spec``.
        origin: ``module`` where PyTorch's own LRN was called, ``raised`` where the network's own
            operators were proven to be one, ``prototxt`` where a file of Caffe's says so, ``onnx``
            where a node of an ONNX file does.
        proven_from: These operators, ``Pow/AveragePool/Mul/Add/Div by structure`` for instance;
            or the prototxt with the line of the layer; or the ONNX file.
        form: ``kept`` as one LRN node, ``reshaped`` around one LRN node, or ``written out`` in
            other standard operators.
        reason: Why it was not kept as it was; empty if it was.
        input: Name of the graph's value that enters it.
        output: Name of the graph's value that leaves it.
        shape: Shape of both, with strings for dynamic axes.
    """

    name: str
    spec: SpecField
    convention: Literal["torch", "onnx", "cross-map"] = "torch"
    origin: Literal["module", "raised", "prototxt", "onnx"] = "module"
    proven_from: str = ""
    form: Literal["kept", "reshaped", "written out"]
    reason: str = ""
    input: str
    output: str
    shape: tuple[int | str, ...]

    @property
    def traced(self) -> bool:
        """Whether the reference shows what enters it; of others the canonical graph does."""
        return self.origin in ("module", "prototxt")

    @property
    def described_origin(self) -> str:
        """Where its parameters are from, for people."""
        if self.origin == "raised":
            return f"proven from {self.proven_from}"
        if self.origin == "prototxt":
            return f"read at {self.proven_from}"
        if self.origin == "onnx":
            return f"read in {self.proven_from}"
        return "of CrossMapLRN2d" if self.convention == "cross-map" else "of the call"


class LrnLike(Record):
    """Operators that look like LRN and were left as the network writes them.

    Attributes:
        name: Path of the torch module that they stand in.
        reason: Why they are not one of the LRN layers.
    """

    name: str
    reason: str


class LayerTensor(Record):
    """The output of one torch module and the graph's value that holds the same numbers."""

    module: str
    tensor: str


class FileRecord(Record):
    """A file of the bundle: path relative to its folder, digest, size in bytes."""

    file: str
    sha256: str
    size: int


class EngineLrn(Record):
    """What TensorRT is given for one LRN layer: its own LRN layer, or other operators.

    Attributes:
        name: Path of the torch module, or the graph node's name if that is not known.
        form: ``native`` for TensorRT's LRN layer, ``plugin`` for ours, else ``written out``.
        reason: Why it is not native, or which plugin it is; empty if it is native.
    """

    name: str
    form: Literal["native", "written out", "plugin"]
    reason: str = ""


class EngineRecord(Record):
    """What built a TensorRT engine and what the engine fits.

    Attributes:
        flavor: Which TensorRT.
        version: Its version; an engine loads in the same one only.
        platform: Operating system and processor, ``linux-x86_64`` for instance.
        targets: Compute capabilities it was built for, ``sm89`` for instance; or ``portable``.
        gpu: Name of the GPU of the machine that built it; None if it has none, or it is unknown.
        driver: Version of that machine's NVIDIA driver, likewise.
        precision: What the graph computes in; ``tf32`` is fp32 whose matrix products and
            convolutions may round their inputs to TF32.
        batch: Smallest, best and largest batch.
        profile: The shapes of these three batches, for each input with a dynamic batch.
        workspace: Limit of scratch GPU memory while building, in bytes; None: the builder's own.
        timing_cache: SHA-256 of the timing cache that was read, if any.
        source_sha256: SHA-256 of the graph it was built from.
        lrn: What became of each LRN layer.
        build_seconds: Wall-clock time of parsing and building.
        peak_memory: Largest resident memory in bytes of the building process, from its start to
            the end of the build, all its libraries included; None if it cannot be told.
        reproducible: Whether the same request gives the same bytes again, for the same user of the
            same machine and installation.
        realised: Whether the engine computes in the types that the graph asks for; ``unknown``
            until a GPU has told.
        difference: In what it does not, in words.
    """

    flavor: Literal["tensorrt", "rtx"]
    version: str
    platform: str
    targets: tuple[str, ...]
    gpu: str | None = None
    driver: str | None = None
    precision: EnginePrecision
    batch: tuple[int, int, int]
    profile: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
    workspace: int | None = None
    timing_cache: str | None = None
    source_sha256: str
    lrn: tuple[EngineLrn, ...] = ()
    build_seconds: float
    peak_memory: int | None
    reproducible: bool = False
    realised: Literal["unknown", "as requested", "different"] = "unknown"
    difference: str = ""


class Artifact(FileRecord):
    """Something a backend can run.

    Attributes:
        companions: Further files that the entry file needs.
        format: Which kind of backend runs it.
        precision: What the graph computes in.
        target: What it was made for; ``any`` for the canonical graph.
        built_by: The command and the versions of the tools that made it.
        source: Name of the artifact it was made from, and None for the canonical graph.
        key: Digest of all that determined it; the same request again is a cache hit.
        options: The options it was made with.
        engine: What built it and what it fits, for a TensorRT engine.
    """

    companions: tuple[FileRecord, ...] = ()
    format: Literal["onnx", "tensorrt", "tensorrt-rtx", "openvino"]
    precision: str = "fp32"
    target: str = "any"
    built_by: dict[str, str] = Field(default_factory=dict)
    source: str | None = None
    key: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    engine: EngineRecord | None = None


class SampleSet(FileRecord):
    """Inputs that checks ran on, with the reference's outputs, in one safetensors file.

    Attributes:
        reference: What computed the outputs, with its version.
        activity: For each LRN layer, the 90th percentile of its activity on these inputs.
        detail: What the inputs are, in one sentence.
    """

    reference: str
    activity: dict[str, float] = Field(default_factory=dict)
    detail: str = ""


class Choice(Record):
    """A way to run the network that ``tune`` found to be within its budget.

    Attributes:
        artifact: The artifact's name.
        sha256: Digest of its entry file; the choice is void once the artifact is another.
        backend: Backend and device, ``openvino:cpu``.
        threads: Threads of one run; 0 where the backend has no such setting.
    """

    artifact: str
    sha256: str
    backend: str
    threads: int = 0

    @property
    def placement(self) -> Placement:
        """Where it runs."""
        return Placement.read(self.artifact, self.backend, self.threads)


class Manifest(Record):
    """All that a bundle says about itself.

    Attributes:
        lrn_layers: Its LRN layers, in the order of the graph.
        lrn_like: What looks like LRN and is none that ONNX's operator can express.
        default: The artifact to run where nothing else is asked for.
        choices: Ways to run it, best first, if it was tuned; where the first cannot run, the next.
        outdated: Reports that were made before the preprocessing was changed, each with the
            SHA-256 of its bytes then; other bytes are a newer report.
    """

    schema_version: int = SCHEMA_VERSION
    model: ModelSource
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None = None
    labels: FileRecord | None = None
    lrn_layers: tuple[LrnLayer, ...] = ()
    lrn_like: tuple[LrnLike, ...] = ()
    layers: tuple[LayerTensor, ...] = ()
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    samples: dict[str, SampleSet] = Field(default_factory=dict)
    samples_key: str = ""
    default: str = MODEL
    choices: tuple[Choice, ...] = ()
    outdated: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _says_what_is_assumed(cls, content: Any) -> Any:
        """Manifests from before it could be said: an own network's preprocessing was assumed."""
        if not isinstance(content, dict):
            return content
        preprocessing, model = content.get("preprocessing"), content.get("model")
        if not isinstance(preprocessing, dict) or not isinstance(model, dict):
            return content
        if "assumed" in preprocessing or model.get("origin") != "factory":
            return content
        gray = preprocessing.get("mode") == "L"
        assumed = [name for name in NAMES if name != "crop" and not (gray and name == "colors")]
        return content | {"preprocessing": preprocessing | {"assumed": assumed}}

    @property
    def no_image(self) -> str:
        """What a network without preprocessing takes instead of an image, in words."""
        if len(self.inputs) > 1:
            names = ", ".join(spec.name for spec in self.inputs)
            return f"takes {len(self.inputs)} inputs ({names}) instead of one image"
        return f"takes inputs of shape {list(self.model.input_shape)}, which are no images"

    def artifact(self, name: str) -> Artifact:
        """The artifact called ``name``.

        Raises:
            BadInputError: If there is none; the hint lists those there are.
        """
        if name not in self.artifacts:
            raise BadInputError(
                f"The bundle has no artifact named '{name}'.",
                f"It has: {', '.join(sorted(self.artifacts)) or 'none'}.",
            )
        return self.artifacts[name]
