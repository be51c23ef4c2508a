"""The code that makes an input of an image, taken along as it is here: one truth, in two places."""

from __future__ import annotations

import json
from importlib import resources

from lrn_deploy.bundle import Preprocessing

PACKAGE = "packaged_images"
"""What the folder of that code is called beside a model."""
_TAKEN = {
    "decode.py": ("lrn_deploy.images", "decode.py"),
    "preprocess.py": ("lrn_deploy.images", "preprocess.py"),
    "errors.py": ("lrn_deploy", "errors.py"),
}
_IMPORTS = {
    "from lrn_deploy.errors import": f"from {PACKAGE}.errors import",
    "from lrn_deploy.bundle import": f"from {PACKAGE}.preprocessing import",
}
"""All that is changed in it."""
_FACTS = ("mode", "resize", "crop", "interpolation", "scale", "mean", "std", "in_graph")

_PREPROCESSING = '''"""How an image becomes a network's input, as the bundle's manifest says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """The manifest's ``preprocessing``."""

    mode: str
    resize: Any
    crop: Any
    interpolation: str
    scale: float
    mean: Any
    std: Any
    in_graph: bool

    def __post_init__(self) -> None:
        for name in ("resize", "crop", "mean", "std"):  # JSON has no tuples
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)

    @property
    def channels(self) -> int:
        """Number of colour channels of the network's input."""
        return 1 if self.mode == "L" else 3
'''


def sources() -> dict[str, str]:
    """The files of the package :data:`PACKAGE`, by name."""
    files = {"__init__.py": '"""Code of lrn-deploy, as it was when this was packaged."""\n'}
    for name, (package, file) in _TAKEN.items():
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        for ours, theirs in _IMPORTS.items():
            text = text.replace(ours, theirs)
        files[name] = text
    return files | {"preprocessing.py": _PREPROCESSING}


def facts(preprocessing: Preprocessing) -> str:
    """A preprocessing as that package reads it."""
    return json.dumps({name: getattr(preprocessing, name) for name in _FACTS})
