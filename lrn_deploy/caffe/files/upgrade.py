"""Caffe's three generations of layers brought to the last one, ``LayerParameter``.

V0 (2013) nests ``layers { layer { type: "conv" } }`` and pads in layers of their own, V1 (2014)
names types in capitals, ``layers { type: CONVOLUTION }``, V2 has ``layer { type: "Convolution" }``.
The rules are those of Caffe's ``upgrade_proto.cpp``.
"""

from __future__ import annotations

from dataclasses import replace

from lrn_deploy.caffe.files.record import Record, Value
from lrn_deploy.caffe.files.schema import MESSAGES

V1_TYPES = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL",
    "CONCAT": "Concat", "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution",
    "DATA": "Data", "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData", "ELTWISE": "Eltwise", "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN", "NONE": "", "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU",
    "SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence", "SLICE": "Slice", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "TANH": "TanH",
    "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
}  # fmt: skip

V0_TYPES = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution",
    "data": "Data", "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten",
    "hdf5_data": "HDF5Data", "hdf5_output": "HDF5Output", "im2col": "Im2col",
    "images": "ImageData", "infogain_loss": "InfogainLoss", "innerproduct": "InnerProduct",
    "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss", "padding": "padding",
    "pool": "Pooling", "relu": "ReLU", "sigmoid": "Sigmoid", "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss", "split": "Split", "tanh": "TanH",
    "window_data": "WindowData",
}  # fmt: skip

_CONV, _POOL, _LRN = "convolution_param", "pooling_param", "lrn_param"
_INNER, _TRANSFORM = "inner_product_param", "transform_param"

_V0_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "conv": {
        "num_output": (_CONV, "num_output"), "biasterm": (_CONV, "bias_term"),
        "pad": (_CONV, "pad"), "kernelsize": (_CONV, "kernel_size"), "group": (_CONV, "group"),
        "stride": (_CONV, "stride"),
    },
    "innerproduct": {"num_output": (_INNER, "num_output"), "biasterm": (_INNER, "bias_term")},
    "pool": {
        "pad": (_POOL, "pad"), "kernelsize": (_POOL, "kernel_size"), "stride": (_POOL, "stride"),
        "pool": (_POOL, "pool"),
    },
    "lrn": {name: (_LRN, name) for name in ("local_size", "alpha", "beta", "k")},
    "dropout": {"dropout_ratio": ("dropout_param", "dropout_ratio")},
    "concat": {"concat_dim": ("concat_param", "concat_dim")},
    "images": {
        "new_height": ("image_data_param", "new_height"),
        "new_width": ("image_data_param", "new_width"),
    },
}  # fmt: skip
_V0_EVERYWHERE = {
    "scale": (_TRANSFORM, "scale"), "meanfile": (_TRANSFORM, "mean_file"),
    "cropsize": (_TRANSFORM, "crop_size"),
}  # fmt: skip
_V0_OWN = ("name", "type", "blobs")


def upgrade(net: Record) -> list[Record]:
    """The layers of a network, each as a ``LayerParameter``.

    Args:
        net: A ``NetParameter``.

    Raises:
        BadInputError: If ``layer`` and ``layers`` are mixed, or a V0 layer cannot be upgraded.
    """
    new, old = net.all("layer"), net.all("layers")
    if new and old:
        later = max(new[0], old[0], key=lambda record: (record.place.line, record.place.column))
        raise later.place.wrong(
            "the network has both 'layer' and 'layers', of which Caffe would drop one.",
            "Write all layers in one of the two ways.",
        )
    if new:
        return new
    if any(layer.has("layer") for layer in old):
        old = [_from_v0(layer) for layer in _without_padding(old)]
    return [_from_v1(layer) for layer in old]


def _from_v1(layer: Record) -> Record:
    values = dict(layer.values)
    if "type" in values:
        kind = values["type"][-1]
        values["type"] = [Value(V1_TYPES.get(kind.content, kind.content), kind.place)]
    values.pop("param", None)  # names of shared weights: each layer's are in the file anyway
    for data in ("data_param", "image_data_param", "window_data_param"):
        if data in values:
            values[_TRANSFORM] = [_transform(values, layer.part(data))]
    return Record("LayerParameter", layer.place, values)


def _transform(values: dict[str, list[Value]], data: Record) -> Value:
    """``transform_param`` with what old data layers said of it in their own parameters."""
    given = values.get(_TRANSFORM)
    transform = given[-1].content if given else Record("TransformationParameter", data.place)
    moved = {
        name: data.values[name] for name in ("scale", "mean_file", "crop_size") if data.has(name)
    }
    return Value(replace(transform, values=transform.values | moved), transform.place)


def _from_v0(outer: Record) -> Record:
    """A V0 layer as a V1 layer, except that its type is V2's already."""
    inner = outer.part("layer")
    kind = inner.get("type") or ""
    if kind not in V0_TYPES:
        raise inner.wrong("type", f"'{kind}' is no type of layer that Caffe had at that time.")
    upgraded = Record("V1LayerParameter", inner.place)
    for name in ("bottom", "top"):
        if outer.has(name):
            upgraded.values[name] = outer.values[name]
    upgraded.values["type"] = [Value(V0_TYPES[kind], inner.place_of("type"))]
    for name in ("name", "blobs"):
        if inner.has(name):
            upgraded.values[name] = inner.values[name]
    for name, values in inner.values.items():
        if name in _V0_OWN or MESSAGES["V0LayerParameter"][name].kind == "any":
            continue
        target = _V0_FIELDS.get(kind, {}).get(name) or _V0_EVERYWHERE.get(name)
        if target is None:
            if name == "source":  # where the training data lay
                continue
            raise inner.wrong(name, f"a layer of type '{kind}' has no '{name}'.")
        parameter, renamed = target
        part = upgraded.part(parameter)
        part.values[renamed] = values
        upgraded.values[parameter] = [Value(part, part.place)]
    return upgraded


def _without_padding(layers: list[Record]) -> list[Record]:
    """V0's padding layers merged into the convolution or pooling that reads them."""
    maker: dict[str, Record] = {}
    kept = []
    for outer in layers:
        inner = outer.part("layer")
        kind = inner.get("type")
        if kind != "padding":
            for bottom in outer.all("bottom"):
                source = maker.get(bottom)
                if source is not None and source.part("layer").get("type") == "padding":
                    outer = _padded(outer, source)
            kept.append(outer)
        maker |= dict.fromkeys(outer.all("top"), outer)
    return kept


def _padded(outer: Record, padding: Record) -> Record:
    inner = outer.part("layer")
    alone = len(outer.all("bottom")) == len(padding.all("bottom")) == len(padding.all("top")) == 1
    if inner.get("type") not in ("conv", "pool") or not alone:
        raise outer.place.wrong(
            "a padding layer can only be merged into a convolution or pooling that reads it alone."
        )
    pad = padding.part("layer")
    given = pad.values.get("pad") or [Value(0, pad.place)]
    padded = replace(inner, values=inner.values | {"pad": given})
    values = outer.values | {
        "layer": [Value(padded, inner.place)],
        "bottom": padding.values["bottom"],
    }
    return replace(outer, values=values)
