"""What can be asked, by any transport: operations as data, each with the type of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from lrn_deploy.client.answers import Classified, ModelMetadata, ModelState, ServerMetadata
from lrn_deploy.client.tensors import Array, Tensor, as_tensor
from lrn_deploy.errors import BadInputError

Answer = TypeVar("Answer")
Value = bool | int | float | str
"""Of a parameter."""


@dataclass(frozen=True)
class Operation(Generic[Answer]):
    """Something to ask a server.

    Attributes:
        repeatable: Whether it does no harm if the server does it twice.
        asks_once: Whether a failure is the answer, so that nothing is asked again.
    """

    repeatable: ClassVar[bool] = True
    asks_once: ClassVar[bool] = False


@dataclass(frozen=True)
class Live(Operation[bool]):
    """Whether the server is alive."""

    asks_once: ClassVar[bool] = True


@dataclass(frozen=True)
class Ready(Operation[bool]):
    """Whether the server, or one of its models, takes requests.

    Attributes:
        model: The model; empty for the server.
        version: Its version; empty for any.
    """

    asks_once: ClassVar[bool] = True
    model: str = ""
    version: str = ""


@dataclass(frozen=True)
class AboutServer(Operation[ServerMetadata]):
    """What the server is."""


@dataclass(frozen=True)
class AboutModel(Operation[ModelMetadata]):
    """What a model takes and gives."""

    model: str
    version: str = ""


@dataclass(frozen=True)
class Config(Operation[dict[str, Any]]):
    """A model's configuration in Triton's form."""

    model: str
    version: str = ""


@dataclass(frozen=True)
class Index(Operation[tuple[ModelState, ...]]):
    """Every model that the server knows."""


@dataclass(frozen=True)
class Stats(Operation[list[dict[str, Any]]]):
    """What the models have done, in Triton's form.

    Attributes:
        model: The model; empty for all.
        version: Its version; empty for all.
    """

    model: str = ""
    version: str = ""


@dataclass(frozen=True)
class Control(Operation[None]):
    """Load a model or unload it.

    Attributes:
        model: The model.
        load: False unloads it.
    """

    repeatable: ClassVar[bool] = False
    model: str
    load: bool


@dataclass(frozen=True)
class Infer(Operation[dict[str, Array]]):
    """Run a model.

    Attributes:
        model: The model.
        inputs: Its inputs by name.
        version: Its version; empty for any.
        outputs: The outputs that are wanted; empty for all.
        classes: So many of the likeliest classes of each row instead of the outputs' numbers, as
            the classification extension writes them; 0: the numbers.
        parameters: Further parameters of the request.
        priority: 1 is the highest; 0: the server's default.
        id: The caller's own id of it.
        binary: Tensors as bytes rather than as JSON, over HTTP; needs the binary tensor extension.
    """

    model: str
    inputs: Mapping[str, Tensor]
    version: str = ""
    outputs: tuple[str, ...] = ()
    classes: int = 0
    parameters: Mapping[str, Value] = field(default_factory=dict)
    priority: int = 0
    id: str = ""
    binary: bool = True


@dataclass(frozen=True)
class Classify(Operation[tuple[Classified, ...]]):
    """Classify image files; lrn-server only, over HTTP.

    Attributes:
        model: The model; empty if the server has one only.
        images: Names and contents of the files.
        top: How many classes of each.
    """

    model: str
    images: tuple[tuple[str, bytes], ...]
    top: int = 5


def inference(
    model: str,
    inputs: Mapping[str, Array | Tensor],
    version: str = "",
    outputs: Sequence[str] = (),
    classes: int = 0,
    parameters: Mapping[str, Value] | None = None,
    priority: int = 0,
    id: str = "",  # noqa: A002 - the protocol's own name for it
    *,
    binary: bool = True,
) -> Infer:
    """An inference of what a caller gave; see :class:`Infer`.

    Raises:
        BadInputError: If it cannot be asked for.
    """
    if not inputs:
        raise BadInputError(
            f"No input is given for '{model}'.", "Give {name: array}; model_metadata names them."
        )
    if classes and not outputs:
        raise BadInputError(
            "Classes are wanted of no output.", "Name it: outputs=['logits'], for instance."
        )
    tensors = {name: as_tensor(value) for name, value in inputs.items()}
    return Infer(
        model,
        tensors,
        version,
        tuple(outputs),
        classes,
        dict(parameters or {}),
        priority,
        id,
        binary,
    )
