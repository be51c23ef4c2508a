"""Image files in, a network's input out: the first step of an ensemble, as lrn-deploy packaged it.

It needs numpy and Pillow. What decodes and prepares the images is lrn-deploy's own code, which lies
beside this file in ``packaged_images``. A request whose image cannot be read fails alone.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found] # Triton's own


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check the files and learn how an image becomes an input.

        Args:
            args: What the backend tells: the configuration as JSON, and where the model lies.
        """
        config = json.loads(args["model_config"])
        told = {key: value["string_value"] for key, value in config["parameters"].items()}
        folder = Path(args["model_repository"])
        checked(folder, json.loads(told["sha256"]))
        sys.path.insert(0, str(folder / args["model_version"]))
        try:
            from packaged_images import (  # type: ignore[import-not-found] # beside it in a package
                decode,
                errors,
                preprocess,
                preprocessing,
            )
        except ImportError as error:
            raise pb_utils.TritonModelException(
                f"The Python backend cannot read images: {error}. pip install pillow."
            ) from error

        self.decode, self.preprocess, self.refusal = decode, preprocess, errors.LrnDeployError
        self.preprocessing = preprocessing.Preprocessing(**json.loads(told["preprocessing"]))
        self.input = config["input"][0]["name"]
        self.output = config["output"][0]["name"]
        self.dtype = pb_utils.triton_string_to_numpy(config["output"][0]["data_type"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in their order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        files = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy().reshape(-1)
        rows = []
        for at, content in enumerate(files):
            name = f"image {at + 1} of {len(files)}"
            try:
                image = self.decode.decode(bytes(content), name=name).image
                rows.append(self.preprocess.preprocess(image, self.preprocessing))
            except self.refusal as error:
                return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
        batch = np.stack(rows).astype(self.dtype, copy=False)
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output, batch)])


def checked(folder: Path, digests: dict[str, str]) -> dict[str, bytes]:
    """What the files of a model hold, if they are those that were packaged.

    Args:
        folder: The model's folder.
        digests: SHA-256 of its files by their paths in it.
    """
    contents = {}
    for name, digest in digests.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise pb_utils.TritonModelException(
                f"'{folder.name}/{name}' cannot be read: {error.strerror}. Package it again."
            ) from error
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise pb_utils.TritonModelException(
                f"'{folder.name}/{name}' was changed after it was packaged: its SHA-256 is not "
                f"{digest[:12]}.... Package it again; nothing was loaded."
            )
    return contents
