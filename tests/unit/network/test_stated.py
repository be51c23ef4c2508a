"""What a network carries about its preprocessing, in stand-ins with torchvision's own names."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrn_deploy.bundle import Preprocessing, Said
from lrn_deploy.errors import BadInputError
from lrn_deploy.network import load_network, reload_network
from lrn_deploy.network.stated import stated

SHAPE = (3, 64, 64)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


class InterpolationMode(Enum):
    BICUBIC = "bicubic"


class Step:
    """Has what it is given as attributes, under the name of its class."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def step(kind: str, **attributes: Any) -> Any:
    return type(kind, (Step,), {})(**attributes)


def compose(*steps: Any) -> Any:
    return step("Compose", transforms=list(steps))


def carrying(**attributes: Any) -> nn.Module:
    module = nn.Flatten()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


RESIZE = step("Resize", size=73, interpolation=InterpolationMode.BICUBIC, max_size=None)
CROP = step("CenterCrop", size=(64, 64))
TO_TENSOR = step("ToTensor")
NORMALIZE = step("Normalize", mean=MEAN, std=STD)
WHOLE = Said("rgb", 73, (64, 64), "bicubic", 1 / 255, MEAN, STD)


@pytest.mark.parametrize(
    "transforms",
    [
        compose(RESIZE, CROP, TO_TENSOR, NORMALIZE),
        [RESIZE, CROP, TO_TENSOR, NORMALIZE],
        compose(compose(RESIZE, CROP), compose(TO_TENSOR, NORMALIZE)),
        compose(
            step("ToImage"),
            step("Resize", size=[73], interpolation=3, max_size=None, antialias=True),
            step("CenterCrop", size=[64]),
            step("ToDtype", dtype=torch.uint8, scale=True),
            step("ToDtype", dtype=torch.float32, scale=True),
            NORMALIZE,
        ),
        compose(
            RESIZE,
            CROP,
            step("PILToTensor"),
            step("ConvertImageDtype", dtype=torch.float32),
            NORMALIZE,
        ),
        step(
            "ImageClassification",
            resize_size=[73],
            crop_size=[64],
            mean=list(MEAN),
            std=list(STD),
            interpolation=InterpolationMode.BICUBIC,
        ),
    ],
)
@pytest.mark.parametrize("name", ["transforms", "preprocessing"])
def test_torchvisions_transforms_say_everything(name: str, transforms: Any) -> None:
    assert stated(carrying(**{name: transforms}), SHAPE) == WHOLE


def test_without_normalize_nothing_is_subtracted_or_divided() -> None:
    found = stated(carrying(transforms=compose(TO_TENSOR)), SHAPE)
    assert found == Said(colors="rgb", scale=1 / 255, mean=(0.0,), std=(1.0,))


def test_pixels_that_are_made_float_unscaled_have_a_scale_of_1() -> None:
    steps = compose(step("ToImage"), step("ToDtype", dtype=torch.float32, scale=False))
    assert stated(carrying(transforms=steps), SHAPE).scale == 1


def test_grayscale_is_gray() -> None:
    steps = compose(step("Grayscale", num_output_channels=1), TO_TENSOR)
    assert stated(carrying(transforms=steps), (1, 64, 64)).colors == "gray"
    assert read(step("RGB"), TO_TENSOR, shape=(1, 64, 64)).colors == "rgb"


def test_our_own_attribute_is_read_as_a_dict_and_as_an_object() -> None:
    content = {"colors": "bgr", "mean": [104, 117, 123], "std": 1, "scale": 1}
    expected = Said(colors="bgr", mean=(104, 117, 123), std=(1,), scale=1)
    assert stated(carrying(preprocessing=content), SHAPE) == expected
    # Of a preprocessing that what was written down counts, and not its class's defaults.
    preprocessing = Preprocessing(mode="BGR", resize=None, crop=(64, 64))
    assert stated(carrying(preprocessing=preprocessing), SHAPE) == Said(
        colors="bgr", resize=(64, 64), crop=(64, 64)
    )


@pytest.mark.parametrize("name", ["pretrained_cfg", "default_cfg"])
@pytest.mark.parametrize("as_object", [False, True])
def test_timms_configuration_is_read(name: str, as_object: bool) -> None:
    content = {
        "url": "",
        "input_size": (3, 224, 224),
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
    }
    config = Step(**content) if as_object else content
    # floor(64 / 0.95) = floor(67.37)
    assert stated(carrying(**{name: config}), SHAPE) == Said(
        colors="rgb", resize=67, interpolation="bicubic", scale=1 / 255, mean=MEAN, std=STD
    )
    if not as_object:
        squashed = carrying(**{name: content | {"crop_mode": "squash"}})
        assert stated(squashed, SHAPE).resize == (67, 67)


def test_our_own_attribute_goes_before_the_others() -> None:
    module = carrying(
        preprocessing={"colors": "bgr"}, transforms=compose(TO_TENSOR), default_cfg={"mean": MEAN}
    )
    assert stated(module, SHAPE) == Said(colors="bgr")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"transforms": compose(RESIZE, step("RandomCrop"), TO_TENSOR)}, "the step RandomCrop"),
        ({"transforms": compose(TO_TENSOR, step("Lambda"))}, "the step Lambda"),
        ({"transforms": compose(NORMALIZE)}, "the step Normalize"),
        ({"transforms": compose(TO_TENSOR, NORMALIZE, NORMALIZE)}, "the step Normalize"),
        ({"transforms": compose(CROP, RESIZE, TO_TENSOR)}, "the step Resize"),
        (
            {"transforms": compose(step("Resize", height=8, width=8), TO_TENSOR)},
            "the step Resize",
        ),
        (
            {"transforms": compose(step("Grayscale", num_output_channels=3))},
            "the step Grayscale",
        ),
        ({"preprocessing": {"mean": "grey"}}, "network's 'preprocessing' is 'grey'"),
        ({"preprocessing": {"average": 1}}, "has no entry 'average'"),
        ({"default_cfg": {"mean": MEAN, "crop_mode": "border"}}, "the crop_mode 'border'"),
        ({"default_cfg": {"mean": MEAN, "interpolation": "random"}}, "is 'random'"),
    ],
)
def test_what_is_not_understood_is_named(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        stated(carrying(**attributes), SHAPE)
    assert caught.value.hint


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"transforms": nn.ModuleList([nn.Linear(2, 2)])},
        {"preprocessing": nn.Sequential(nn.Conv2d(3, 3, 1))},
        {"transforms": lambda image: image},
        {"preprocessing": 3, "default_cfg": {"url": ""}},
    ],
)
def test_what_speaks_of_no_preprocessing_says_nothing(attributes: dict[str, Any]) -> None:
    assert stated(carrying(**attributes), SHAPE) == Said()


def lambda_network() -> nn.Module:
    return carrying(input_shape=SHAPE, transforms=compose(TO_TENSOR, step("Lambda")))


def bgr_network() -> nn.Module:
    return carrying(input_shape=SHAPE, preprocessing={"colors": "bgr", "resize": 80})


def test_what_is_not_understood_does_not_matter_once_all_of_it_is_said() -> None:
    factory = "tests.unit.network.test_stated:lambda_network"
    with pytest.raises(BadInputError, match="the step Lambda"):
        load_network(factory, said=Said(colors="rgb"))
    whole = Said("bgr", 80, None, "box", 1.0, (1.0,), (2.0,))
    network = load_network(factory, said=whole)
    assert network.preprocessing == Preprocessing(
        mode="BGR",
        resize=80,
        crop=(64, 64),
        interpolation="box",
        scale=1,
        mean=(1, 1, 1),
        std=(2, 2, 2),
    )
    reload_network(network.source)  # which needs none, and asks nobody


def test_what_the_user_says_goes_before_what_the_network_says() -> None:
    network = load_network(
        "tests.unit.network.test_stated:bgr_network", said=Said(resize=90, interpolation="box")
    )
    preprocessing = network.preprocessing
    assert preprocessing is not None
    assert (preprocessing.mode, preprocessing.resize, preprocessing.interpolation) == (
        "BGR",
        90,
        "box",
    )
    assert preprocessing.assumed == ("scale", "mean", "std")


class Normalize(nn.Module):
    """As torchvision's, which is a module as well."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.std = MEAN, STD

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.5) / 0.25


class ToTensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Holding(nn.Module):
    def __init__(self, *, runs: bool) -> None:
        super().__init__()
        self.transforms = nn.Sequential(ToTensor(), Normalize())
        self.runs = runs

    def forward(self, x: Tensor) -> Tensor:
        return self.transforms(x) if self.runs else x  # type: ignore[no-any-return]


def test_transforms_that_the_network_itself_runs_are_not_run_before_it_as_well() -> None:
    assert stated(Holding(runs=True), SHAPE) == Said()
    found = stated(Holding(runs=False), SHAPE)
    assert found == Said(colors="rgb", scale=1 / 255, mean=MEAN, std=STD)
    assert not any(one._forward_pre_hooks for one in Holding(runs=True).modules())


def read(*steps: Any, shape: tuple[int, ...] = SHAPE) -> Said:
    return stated(carrying(transforms=compose(*steps)), shape)


@pytest.mark.parametrize(
    "steps",
    [
        (step("Resize", size=73, interpolation=3, max_size=80), TO_TENSOR),
        (step("ToImage"), step("Resize", size=73, interpolation=3, antialias=False)),
        (RESIZE, RESIZE, TO_TENSOR),
        (CROP, CROP, TO_TENSOR),
        (TO_TENSOR, TO_TENSOR),
        (step("ToDtype", dtype=torch.float32, scale=True),),  # of no tensor
        (step("ToImage"), step("ToDtype", dtype=torch.float64, scale=True)),
        (TO_TENSOR, step("ToDtype", dtype=torch.uint8, scale=True)),
    ],
)
def test_steps_that_would_mean_something_else_are_refused(steps: Any) -> None:
    with pytest.raises(BadInputError, match="which is not understood"):
        read(*steps)


def test_a_filter_of_pillows_without_a_tensor_needs_no_antialias() -> None:
    found = read(step("Resize", size=73, interpolation=2, antialias=False), TO_TENSOR)
    assert (found.resize, found.interpolation) == (73, "bilinear")


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "nearest"), (1, "lanczos"), (2, "bilinear"), (3, "bicubic"), (4, "box")],
)
def test_pillows_numbers_of_filters(number: int, name: str) -> None:
    assert read(step("Resize", size=73, interpolation=number), TO_TENSOR).interpolation == name


@pytest.mark.parametrize(
    ("number", "said"), [(5, "'hamming'"), (-1, "is -1"), (6, "is 6"), (True, "is True")]
)
def test_numbers_that_are_no_filter_of_ours(number: int, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        read(step("Resize", size=73, interpolation=number), TO_TENSOR)


def test_what_is_a_float_already_is_scaled_once() -> None:
    again = step("ToDtype", dtype=torch.float32, scale=True)
    assert read(TO_TENSOR, again).scale == 1 / 255
    converted = step("ConvertImageDtype", dtype=torch.float32)
    assert read(step("ToImage"), converted).scale == 1 / 255


def test_the_size_of_one_number_is_the_shorter_side_and_of_two_is_both() -> None:
    bicubic = {"interpolation": 3}
    for size, side in (([73], 73), (73, 73), ((70, 80), (70, 80))):
        assert read(step("Resize", size=size, **bicubic), TO_TENSOR).resize == side


def test_a_network_of_one_channel_takes_no_order_of_colours() -> None:
    assert read(TO_TENSOR, shape=(1, 64, 64)).colors is None
    config = {"mean": (0.5,), "std": (0.5,), "crop_pct": 0.5}
    assert stated(carrying(default_cfg=config), (1, 64, 64)) == Said(
        resize=128, scale=1 / 255, mean=(0.5,), std=(0.5,)
    )
    # The share is of a square; of another shape timm says nothing that holds for all its networks.
    assert stated(carrying(default_cfg=config), (1, 64, 32)).resize is None
    without = {"mean": (0.5,), "std": (0.5,)}
    assert stated(carrying(default_cfg=without), (1, 64, 64)).resize is None


def test_looking_at_a_network_leaves_its_mode_alone() -> None:
    for training in (True, False):
        module = Holding(runs=True).train(training)
        stated(module, SHAPE)
        assert module.training is training
        assert not any(one._forward_pre_hooks for one in module.modules())


class Failing(Holding):
    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise ValueError("too small")


@pytest.mark.parametrize("runs", [True, False])
def test_a_network_that_fails_has_run_its_transforms_or_not(runs: bool) -> None:
    module = Failing(runs=runs).train()
    assert (stated(module, SHAPE) == Said()) is runs
    assert module.training
    assert not any(one._forward_pre_hooks for one in module.modules())
