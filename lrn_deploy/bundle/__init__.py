"""The bundle: a plain folder with a manifest, through which every command works."""

from lrn_deploy.bundle.contents import named_files, read_manifest
from lrn_deploy.bundle.folder import check_target, new_bundle
from lrn_deploy.bundle.manifest import (
    SCHEMA_VERSION,
    Artifact,
    Choice,
    EngineLrn,
    EngineRecord,
    FileRecord,
    LayerTensor,
    LrnLayer,
    LrnLike,
    Manifest,
    ModelSource,
    SampleSet,
    Weights,
)
from lrn_deploy.bundle.preprocessing import Preprocessing
from lrn_deploy.bundle.store import (
    MANIFEST,
    ArtifactData,
    Bundle,
    dump,
    sha256,
    write_atomic,
    writing,
)
from lrn_deploy.bundle.tensors import IntegerValues, TensorSpec
from lrn_deploy.said import Said

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "Artifact",
    "ArtifactData",
    "Bundle",
    "Choice",
    "EngineLrn",
    "EngineRecord",
    "FileRecord",
    "IntegerValues",
    "LayerTensor",
    "LrnLayer",
    "LrnLike",
    "Manifest",
    "ModelSource",
    "Preprocessing",
    "Said",
    "SampleSet",
    "TensorSpec",
    "Weights",
    "check_target",
    "dump",
    "named_files",
    "new_bundle",
    "read_manifest",
    "sha256",
    "write_atomic",
    "writing",
]
