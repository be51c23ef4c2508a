"""What others call the layers of the zoo's networks: explicit tables, nothing is guessed.

Weights travel between frameworks under other names. A table here gives each layer of ours the name
that it has elsewhere; whether the weights fit is for their shapes to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Names:
    """One way to call a network's layers.

    Attributes:
        whose: Whose names they are, for people.
        layers: Our layers' names, and theirs. Several are the parts of one layer, whose outputs
            follow one another.
    """

    whose: str
    layers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Foreign:
    """How a network of the zoo is found elsewhere.

    Attributes:
        tables: The ways to call its layers.
        planes: (channels, height, width) of what each layer reads that reads flattened planes:
            where channels come last, they are flattened in another order.
    """

    tables: tuple[Names, ...]
    planes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


_CAFFE = (*(f"conv{number}" for number in range(1, 6)), "fc6", "fc7", "fc8")
_LINEAR = tuple(f"classifier.{place}" for place in (1, 4, 6))
_ARTICLE = tuple(f"net.{place}" for place in (0, 4, 8, 10, 12)) + _LINEAR
_TORCHVISION = tuple(f"features.{place}" for place in (0, 3, 6, 8, 10)) + _LINEAR
_TOWERS = ("conv2", "conv4", "conv5")
"""The convolutions that the two towers of AlexNet have each for itself."""


def _split(one: str, other: str) -> tuple[tuple[str, ...], ...]:
    """Caffe's names, where each tower's half of a convolution has its own."""
    return tuple(
        (f"{name}{one}", f"{name}{other}") if name in _TOWERS else (name,) for name in _CAFFE
    )


def _alexnet(own: Sequence[str]) -> Foreign:
    """AlexNet in any of its forms: eight layers that follow one another."""
    theirs: dict[str, Sequence[tuple[str, ...]]] = {
        whose: [(name,) for name in names]
        for whose, names in (
            ("Caffe's", _CAFFE),
            ("the article's repository's", _ARTICLE),
            ("torchvision's", _TORCHVISION),
        )
    }
    theirs["two towers' (_1, _2)"] = _split("_1", "_2")
    theirs["two towers' (a, b)"] = _split("a", "b")
    tables = (Names(whose, dict(zip(own, them, strict=True))) for whose, them in theirs.items())
    return Foreign(tuple(tables), {own[5]: (256, 6, 6)})


def _as_in_caffe(names: Sequence[str], plane: tuple[int, int, int]) -> Foreign:
    """A network whose layers we call as Caffe does; ``plane`` is what fc6 reads."""
    return Foreign((Names("Caffe's", {name: (name,) for name in names}),), {"fc6": plane})


def _googlenet() -> Foreign:
    """Caffe's names hold a slash, which caffe-tensorflow writes as an underscore."""
    caffe = {
        "stem.0": "conv1/7x7_s2",
        "stem.4": "conv2/3x3_reduce",
        "stem.6": "conv2/3x3",
        "classifier": "loss3/classifier",
    }
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        ours, theirs = f"inception_{block}.branch", f"inception_{block}/"
        caffe |= {
            f"{ours}1.0": f"{theirs}1x1",
            f"{ours}3.0": f"{theirs}3x3_reduce",
            f"{ours}3.2": f"{theirs}3x3",
            f"{ours}5.0": f"{theirs}5x5_reduce",
            f"{ours}5.2": f"{theirs}5x5",
            f"{ours}_pool.1": f"{theirs}pool_proj",
        }
    return Foreign(
        (
            Names("Caffe's", {own: (name,) for own, name in caffe.items()}),
            Names(
                "caffe-tensorflow's",
                {own: (name.replace("/", "_"),) for own, name in caffe.items()},
            ),
        )
    )


def _nn4_small2() -> Foreign:
    """Torch numbers the layers from 1, which its port to PyTorch keeps."""
    torch = {
        "stem.0": "layer1",
        "stem.1": "layer2",
        "stem.5": "layer6",
        "stem.6": "layer7",
        "stem.8": "layer9",
        "stem.9": "layer10",
        "embedding": "layer25",
    }
    wide = {"0": "1_conv", "1": "2_bn", "3": "4_conv", "4": "5_bn"}
    numbers = {"3a": 14, "3b": 15, "3c": 16, "4a": 17, "4e": 18, "5a": 19, "5b": 21}
    for block, number in numbers.items():
        branches = {
            "branch3": wide,
            "branch5": wide,
            "branch_pool": {"1": "2_conv", "2": "3_bn"},
            "branch1": {"0": "1_conv", "1": "2_bn"},
        }
        if block in ("5a", "5b"):
            del branches["branch5"]
        if block in ("3c", "4e"):  # these only pool, and have no fourth branch
            branches["branch_pool"] = branches["branch1"] = {}
        for place, (branch, layers) in enumerate(branches.items()):
            theirs = f"layer{number}.seq_list.{place}"
            torch |= {
                f"inception_{block}.{branch}.{own}": f"{theirs}.{name}"
                for own, name in layers.items()
            }
    return Foreign((Names("Torch's", {own: (name,) for own, name in torch.items()}),))


_FACES = ("conv1", "conv2", "conv3", "fc6", "fc7", "fc8")

FOREIGN: dict[str, Foreign] = {
    "alexnet": _alexnet(_ARTICLE),
    "alexnet_grouped": _alexnet(_CAFFE),
    "caffenet": _alexnet(_CAFFE),
    "alexnet_torchvision": _alexnet(_TORCHVISION),
    "zfnet": _as_in_caffe(_CAFFE, (512, 6, 6)),
    "vgg_cnn_s": _as_in_caffe(_CAFFE, (512, 6, 6)),
    "levi_hassner_age": _as_in_caffe(_FACES, (384, 7, 7)),
    "levi_hassner_gender": _as_in_caffe(_FACES, (384, 7, 7)),
    "googlenet": _googlenet(),
    "nn4_small2": _nn4_small2(),
}
"""How each network is found elsewhere, by its name in the zoo."""
