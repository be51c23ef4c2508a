"""What a client asks for, apart from the tensors: which outputs, and in what form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.protocol.parameters import flag, whole
from lrn_deploy.serving.protocol.shared_memory import Place, place_of
from lrn_deploy.serving.repository.model import InferCall

MAX_CLASSES = 1_000_000


@dataclass(frozen=True)
class OutputForm:
    """How one output is to be returned.

    Attributes:
        name: The output.
        binary: As raw bytes rather than as JSON.
        classes: For the classification extension: how many; 0: the output itself.
        place: The shared memory to put it into; None: it travels in the answer.
    """

    name: str
    binary: bool = False
    classes: int = 0
    place: Place | None = None


@dataclass(frozen=True)
class InferMessage:
    """A decoded request: what to run, and in what form to answer.

    Attributes:
        call: For the model.
        outputs: The outputs to return; empty for all, as ``binary`` says.
        binary: The form of outputs that ``outputs`` does not list.
        id: The client's own id of the request.
    """

    call: InferCall
    outputs: tuple[OutputForm, ...] = ()
    binary: bool = False
    id: str = ""


def output_form(name: str, parameters: dict[str, Any], *, binary: bool) -> OutputForm:
    """The form that an output's parameters ask for.

    Args:
        name: The output.
        parameters: Its own parameters.
        binary: The form if they do not say.

    Raises:
        InvalidRequestError: If they are malformed.
    """
    classes = whole(parameters, "classification")
    if classes > MAX_CLASSES:
        raise InvalidRequestError(
            f"classification may be {MAX_CLASSES:,} at most, got {classes:,}."
        )
    if "binary_data" in parameters:
        binary = flag(parameters, "binary_data")
    return OutputForm(name, binary, classes, place_of(parameters))


def check_distinct(outputs: tuple[OutputForm, ...]) -> None:
    """Refuse an output that is requested twice.

    Raises:
        InvalidRequestError: If one is.
    """
    if len({form.name for form in outputs}) < len(outputs):
        raise InvalidRequestError("An output is requested twice.")
