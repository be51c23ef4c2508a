"""What a network carries about its preprocessing: our own attribute, torchvision's or timm's.

torchvision's transforms are told by their classes' names and attributes, so it need not be
installed. Where a submodule of that kind is a part of the network's own computation it says
nothing about what comes before the network, and is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from lrn_deploy.bundle import Preprocessing, Said
from lrn_deploy.bundle.said import said_of
from lrn_deploy.errors import BadInputError

_HINT = (
    "Say it with --colors, --resize, --interpolation, --scale, --mean and --std, or all of it in a "
    "file with --preprocessing; then the network's own is not read."
)
_PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers for its filters, which old transforms hold."""
_LISTS = frozenset({"Compose", "Sequential", "list", "tuple"})


def stated(module: nn.Module, shape: tuple[int, ...]) -> Said:
    """What ``module`` says about the images it takes.

    Its attributes are looked at in this order: ``preprocessing`` (a mapping with the names of the
    options, a :class:`Preprocessing`, or transforms), ``transforms``, ``pretrained_cfg`` and
    ``default_cfg``. The first that speaks of preprocessing counts.

    Args:
        module: The network, in evaluation mode or not; where it holds transforms as submodules it
            is run once.
        shape: Shape of one input, without the batch.

    Raises:
        BadInputError: If it carries something of this kind that cannot be understood.
    """
    for name in ("preprocessing", "transforms"):
        value, where = getattr(module, name, None), f"the network's '{name}'"
        if isinstance(value, Preprocessing):
            return _given(value)
        if isinstance(value, Mapping) and not isinstance(value, nn.Module):
            return Said.of(value, where)
        if _is_transform(value) and not _is_run(module, value, shape):
            return _Reading(where).read(value, shape)
    for name in ("pretrained_cfg", "default_cfg"):
        config = _mapping(getattr(module, name, None))
        if config.get("mean") is not None:
            return _timm(config, shape, f"the network's '{name}'")
    return Said()


def _given(preprocessing: Preprocessing) -> Said:
    """What somebody wrote down in a preprocessing, without the defaults of its class."""
    whole = said_of(preprocessing).content
    written = preprocessing.model_fields_set
    written = written | ({"colors"} if "mode" in written else set())
    return Said(**{name: value for name, value in whole.items() if name in written})


def _timm(config: Mapping[str, Any], shape: tuple[int, ...], where: str) -> Said:
    """What timm's evaluation transforms do with such a configuration (RGB, pixels from 0 to 1)."""
    content: dict[str, Any] = {name: config.get(name) for name in ("mean", "std", "interpolation")}
    content |= {"scale": 1 / 255, "colors": _rgb(shape)}
    share, mode = config.get("crop_pct"), config.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise _not_understood(where, f"the crop_mode '{mode}'")
    if share is not None and len(shape) == 3 and shape[1] == shape[2]:
        side = math.floor(shape[1] / share)
        content["resize"] = (side, side) if mode == "squash" else side
    return Said.of(content, where)


class _Reading:
    """Reads transforms one after the other.

    Args:
        where: What messages call them.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.content: dict[str, Any] = {}
        self.is_tensor = False

    def read(self, transform: Any, shape: tuple[int, ...]) -> Said:
        for step in _steps(transform):
            reader = _READERS.get(type(step).__name__)
            if reader is None:
                raise self.trouble(step)
            try:
                reader(self, step)
            except AttributeError as error:
                raise self.trouble(step) from error
        if "scale" in self.content:
            self.content = {"mean": 0, "std": 1} | self.content
        self.content.setdefault("colors", _rgb(shape))
        return Said.of(self.content, self.where)

    def trouble(self, step: Any) -> BadInputError:
        return _not_understood(self.where, f"the step {type(step).__name__}")

    def once(self, step: Any, name: str, value: Any) -> None:
        if name in self.content:
            raise self.trouble(step)
        self.content[name] = value

    def resize(self, step: Any) -> None:
        loose = self.is_tensor and getattr(step, "antialias", True) is False
        if loose or getattr(step, "max_size", None) is not None or "crop" in self.content:
            raise self.trouble(step)
        self.once(step, "resize", _side(step.size))
        self.content["interpolation"] = _filter(step.interpolation)

    def crop(self, step: Any) -> None:
        self.once(step, "crop", _side(step.size))

    def gray(self, step: Any) -> None:
        if step.num_output_channels != 1:
            raise self.trouble(step)
        self.content["colors"] = "gray"

    def rgb(self, _step: Any) -> None:
        self.content["colors"] = "rgb"

    def to_image(self, _step: Any) -> None:
        self.is_tensor = True

    def to_tensor(self, step: Any) -> None:
        self.is_tensor = True
        self.once(step, "scale", 1 / 255)

    def to_float(self, step: Any) -> None:
        if step.dtype is torch.uint8 and "scale" not in self.content:
            return
        if step.dtype is not torch.float32 or not self.is_tensor:
            raise self.trouble(step)
        scaled = type(step).__name__ == "ConvertImageDtype" or step.scale
        if "scale" not in self.content:  # else it is a float already, which stays as it is
            self.content["scale"] = 1 / 255 if scaled else 1

    def normalize(self, step: Any) -> None:
        if "scale" not in self.content:
            raise self.trouble(step)
        self.once(step, "mean", step.mean)
        self.once(step, "std", step.std)

    def preset(self, step: Any) -> None:
        self.once(step, "resize", _side(step.resize_size))
        self.once(step, "crop", _side(step.crop_size))
        self.once(step, "scale", 1 / 255)
        self.content |= {"mean": step.mean, "std": step.std}
        self.content["interpolation"] = _filter(step.interpolation)


_READERS: dict[str, Callable[[_Reading, Any], None]] = {
    "Resize": _Reading.resize,
    "CenterCrop": _Reading.crop,
    "Grayscale": _Reading.gray,
    "RGB": _Reading.rgb,
    "ToImage": _Reading.to_image,
    "PILToTensor": _Reading.to_image,
    "ToTensor": _Reading.to_tensor,
    "ToDtype": _Reading.to_float,
    "ConvertImageDtype": _Reading.to_float,
    "Normalize": _Reading.normalize,
    "ImageClassification": _Reading.preset,
}


def _steps(transform: Any) -> Iterator[Any]:
    kind = type(transform).__name__
    if kind not in _LISTS:
        yield transform
        return
    for step in getattr(transform, "transforms", transform):
        yield from _steps(step)


def _is_transform(value: Any) -> bool:
    kind = type(value).__name__
    if kind in _LISTS:
        inner = getattr(value, "transforms", value)
        return isinstance(inner, list | tuple | nn.Sequential) and any(map(_is_transform, inner))
    return kind in _READERS


def _is_run(module: nn.Module, value: Any, shape: tuple[int, ...]) -> bool:
    """Whether the network itself runs the transforms that it holds."""
    own = {id(inner) for inner in module.modules()}
    parts = [part for part in (value, *_steps(value)) if id(part) in own]
    called: list[nn.Module] = []
    hooks = [part.register_forward_pre_hook(lambda step, _: called.append(step)) for part in parts]
    training = module.training
    try:
        if hooks:
            with torch.inference_mode():
                module.eval()(torch.zeros(1, *shape))
    except Exception:  # the export says what is wrong with such a network
        return bool(called)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return bool(called)


def _mapping(config: Any) -> Mapping[str, Any]:
    """A configuration of timm's as a mapping, whichever form it has; empty if it is none."""
    if isinstance(config, Mapping):
        return config
    found = getattr(config, "__dict__", {})
    return found if isinstance(found, Mapping) and not isinstance(config, nn.Module) else {}


def _rgb(shape: tuple[int, ...]) -> str | None:
    """The order of channels in which Pillow decodes, for networks that take colours."""
    return "rgb" if shape[0] == 3 else None


def _side(size: Any) -> Any:
    """A size; ``[256]`` of torchvision's is the shorter side, as 256 is."""
    return size[0] if isinstance(size, list | tuple) and len(size) == 1 else size


def _filter(interpolation: Any) -> Any:
    known = type(interpolation) is int and 0 <= interpolation < len(_PILLOW)
    return _PILLOW[interpolation] if known else interpolation


def _not_understood(where: str, what: str) -> BadInputError:
    return BadInputError(
        f"{where[0].upper()}{where[1:]} has {what}, which is not understood as preprocessing.",
        _HINT,
    )
