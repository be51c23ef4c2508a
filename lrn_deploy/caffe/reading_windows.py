"""The parameters of layers whose windows move over the image: convolution, pooling, LRN."""

from __future__ import annotations

from lrn_deploy.caffe.files.record import MAX_INT, Record
from lrn_deploy.caffe.parameters import Convolution, Lrn, Pooling, Sizes


def read_convolution(layer: Record) -> Convolution:
    """The parameters of a Convolution or Deconvolution."""
    part = layer.part("convolution_param")
    if part.get("axis") != 1:
        raise part.wrong("axis", "only convolutions with axis 1 can be imported.")
    return Convolution(
        outputs=part.positive("num_output"),
        kernel=_window(part, "kernel_size", "kernel", None),
        stride=_window(part, "stride", "stride", 1),
        pad=_window(part, "pad", "pad", 0),
        dilation=tuple(part.all("dilation")) or (1,),
        group=part.positive("group"),
        bias=part.get("bias_term"),
        transposed=layer.get("type") == "Deconvolution",
    )


def _window(part: Record, name: str, short: str, missing: int | None) -> Sizes:
    """One size for all axes, one for each, or two as ``short``_h and ``short``_w."""
    both = [part.has(f"{short}_{side}") for side in "hw"]
    if any(both):
        if part.has(name):
            raise part.wrong(name, f"'{name}' is given beside '{short}_h' and '{short}_w'.")
        if not all(both) and missing is None:
            raise part.place.wrong(f"'{short}_h' and '{short}_w' are needed both.")
        sizes = tuple(part.get(f"{short}_{side}") for side in "hw")
        sizes = tuple(missing if size is None else size for size in sizes)
    else:
        sizes = tuple(part.all(name))
        if not sizes and missing is None:
            raise part.place.wrong(f"'{name}' is missing.")
        sizes = sizes or (missing,)
    least = 0 if name == "pad" else 1
    if any(not least <= size <= MAX_INT for size in sizes):
        raise part.wrong(name, f"{short} {' x '.join(map(str, sizes))} must be {least} or more.")
    return sizes


def read_pooling(layer: Record) -> Pooling:
    """The parameters of a Pooling."""
    part = layer.part("pooling_param")
    method = part.get("pool")
    if method == "STOCHASTIC":
        raise part.wrong("pool", "stochastic pooling cannot be imported.")
    if len(layer.all("top")) > 1:
        raise layer.wrong("top", "a second top, with the places of the maxima, is not supported.")
    whole = part.get("global_pooling")
    if whole and any(part.has(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
        raise part.wrong("global_pooling", "global pooling has no kernel size beside it.")
    kernel = () if whole else _window(part, "kernel_size", "kernel", None)
    stride, pad = _window(part, "stride", "stride", 1), _window(part, "pad", "pad", 0)
    if whole and (max(pad) > 0 or max(stride) > 1):
        raise part.wrong("global_pooling", "global pooling takes pad 0 and stride 1 only.")
    if not whole and any(p >= k for p, k in zip(_pair(pad), _pair(kernel), strict=True)):
        raise part.wrong("pad", "the padding must be smaller than the kernel.")
    floor = part.get("round_mode") == "FLOOR" or not part.get("ceil_mode")
    return Pooling(method, _pair(kernel) if kernel else (), _pair(stride), _pair(pad), floor)


def _pair(sizes: Sizes) -> Sizes:
    return sizes * 2 if len(sizes) == 1 else sizes


def read_lrn(layer: Record) -> Lrn:
    """The parameters of an LRN, and where each is from."""
    part = layer.part("lrn_param")
    size, region = part.get("local_size"), part.get("norm_region")
    if size % 2 == 0:
        raise part.wrong(
            "local_size",
            f"Caffe's LRN takes an odd local_size only, not {size}.",
            "A size of 2 r + 1 has r channels on each side.",
        )
    names = {"region": "norm_region", "size": "local_size"}
    origins = {
        name: part.origin(names.get(name, name))
        for name in ("region", "size", "alpha", "beta", "k")
    }
    k = part.get("k")
    if region == "WITHIN_CHANNEL":
        if part.has("k") and k != 1:
            origins["k"] = (
                f"Caffe's constant within a channel; {part.place_of('k').short} gives {k:g}"
            )
        k = 1.0
    return Lrn(region, size, part.get("alpha"), part.get("beta"), k, origins)
