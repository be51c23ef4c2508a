"""A network that was loaded, to be called with arrays or images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from lrn_deploy.backends.protocol import Array, Session
from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.images.collect import ImageSource, collect
from lrn_deploy.workflows.choice import Pick
from lrn_deploy.workflows.classify import (
    ImageResult,
    Prediction,
    class_labels,
    classify_on,
    image_preprocessing,
)


class LoadedNetwork:
    """A network, as :meth:`OpenBundle.load` gives it; to be closed, or used in a ``with``.

    Threads may share it: their calls run one after the other.

    Attributes:
        artifact: Name of the artifact that runs.
        backend: What runs it, ``onnxruntime:cpu`` for instance.
        reason: Why these, in one sentence.
        inputs: Name, dtype and shape of each input, with the dynamic batch.
        outputs: The same of the outputs.

    Example:
        >>> import lrn_deploy
        >>> network = lrn_deploy.open("digits").load("model")
        >>> network
        <network 'digits': model on onnxruntime:cpu>
        >>> network.inputs[0].described
        'input: float32 [batch, 1, 8, 8]'
        >>> network.close()
    """

    def __init__(self, bundle: Bundle, picked: Pick, session: Session) -> None:
        self.artifact = picked.artifact
        self.backend = picked.placement.where
        self.reason = picked.reason
        self.inputs: tuple[TensorSpec, ...] = session.inputs
        self.outputs: tuple[TensorSpec, ...] = session.outputs
        self._bundle = bundle
        self._session: Session | None = session
        self._lock = Lock()

    def __repr__(self) -> str:
        name = self._bundle.manifest.model.name
        return f"<network '{name}': {self.artifact} on {self.backend}>"

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike) -> Array:
        """The network's output.

        Args:
            arrays: The inputs in order, each with the batch as its first axis. Floating-point
                numbers are turned into the input's type; any others must be of it.
            named: The inputs by name, instead or for those that remain.

        Raises:
            BadInputError: If an input is missing or does not fit, or the network has several
                outputs, which :meth:`run` gives.

        Example:
            >>> import lrn_deploy
            >>> import numpy as np
            >>> images = np.zeros((2, 1, 8, 8), np.float32)
            >>> with lrn_deploy.open("digits").load("model") as network:
            ...     bool((network(images) == network(input=images)).all())
            True
        """
        if len(self.outputs) != 1:
            names = ", ".join(spec.name for spec in self.outputs)
            raise BadInputError(
                f"The network has {len(self.outputs)} outputs ({names}), not one.",
                "Use network.run({name: array, ...}), which gives all of them by name.",
            )
        if len(arrays) > len(self.inputs):
            raise BadInputError(
                f"The network takes {len(self.inputs)} input(s), got {len(arrays)}."
            )
        feeds = {spec.name: array for spec, array in zip(self.inputs, arrays, strict=False)}
        twice = sorted(feeds.keys() & named.keys())
        if twice:
            raise BadInputError(f"Input '{twice[0]}' is given twice: in order and by name.")
        return self.run(feeds | named)[self.outputs[0].name]

    def run(self, feeds: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """All outputs by name.

        Args:
            feeds: An array for each input by name, as in a call.

        Raises:
            BadInputError: If an input is missing or does not fit, or the network was closed.

        Example:
            >>> import lrn_deploy
            >>> with lrn_deploy.open("digits").load("model") as network:
            ...     outputs = network.run({"input": [[[[0.0] * 8] * 8]]})
            >>> outputs["output"].shape
            (1, 10)
        """
        dtypes = {spec.name: spec.dtype for spec in self.inputs}
        arrays = {name: _array(value, dtypes.get(name)) for name, value in feeds.items()}
        with self._lock:
            return self._open.run(arrays)

    def classify(self, image: Path | str | bytes, *, top: int = 5) -> tuple[Prediction, ...]:
        """The likeliest classes of one image, likeliest first.

        Args:
            image: A file, or the bytes of one.
            top: Number of classes.

        Raises:
            BadInputError: If the image cannot be read, or the network takes none.

        Example:
            >>> import lrn_deploy
            >>> with lrn_deploy.open("digits").load("model") as network:
            ...     best = network.classify("seven.png", top=1)[0]
            >>> best.label
            '7'
        """
        name = "image" if isinstance(image, bytes) else str(image)
        content = image if isinstance(image, bytes) else Path(image)
        (result,) = self._classify([ImageSource(name, content)], batch_size=1, top=top)
        if result.error:
            raise BadInputError(result.error, result.hint)
        return result.predictions

    def classify_all(
        self, *images: Path | str, batch_size: int = 8, top: int = 5
    ) -> Iterator[ImageResult]:
        """Classify many images; one that cannot be read becomes a result with an error.

        Args:
            images: Files, folders and globs, as ``lrn-deploy classify`` takes them.
            batch_size: Images to a batch.
            top: Number of classes for each.

        Raises:
            BadInputError: If nothing is there, or the network takes no images.

        Example:
            >>> import lrn_deploy
            >>> with lrn_deploy.open("digits").load("model") as network:
            ...     for result in network.classify_all("*.png", top=1):
            ...         print(result.name, result.predictions[0].label)
            seven.png 7
        """
        return self._classify(collect([str(image) for image in images]), batch_size, top)

    def close(self) -> None:
        """Release the network's memory; it cannot be called afterwards."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _open(self) -> Session:
        if self._session is None:
            raise BadInputError("The network was closed.", "Load it again with bundle.load().")
        return self._session

    def _classify(
        self, sources: list[ImageSource], batch_size: int, top: int
    ) -> Iterator[ImageResult]:
        preprocessing = image_preprocessing(self._bundle.manifest)
        labels = class_labels(self._bundle)
        results = classify_on(
            self._open, preprocessing, labels, sources, batch_size=batch_size, top=top
        )

        def locked() -> Iterator[ImageResult]:
            while True:
                with self._lock:
                    result = next(results, None)
                if result is None:
                    return
                yield result

        return locked()


def _array(value: Any, dtype: str | None) -> Array:
    """``value`` as an array, floating-point numbers in the type that is asked for."""
    array = np.asarray(value)
    if dtype is not None and dtype.startswith("float") and array.dtype.kind == "f":
        return array.astype(dtype, copy=False)
    return array
