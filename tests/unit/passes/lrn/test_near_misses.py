"""What only looks like LRN stays as it is written, and what does not even look so costs no run."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.lrn import LrnSpec
from lrn_deploy.passes.lrn import raise_lrn as pass_
from lrn_deploy.passes.lrn.probing import measure
from lrn_deploy.passes.lrn.probing.region import regions
from lrn_deploy.passes.lrn.raise_lrn import Raised, raise_lrn
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn, Writer

LAST = {"shape": (3, 2, 6), "last": True}
CHANNELS = np.linspace(1, 2, 6).reshape(6, 1, 1)


def hole(band: NDArray[np.float32]) -> None:
    band[3, 2] = 0


def another_weight(band: NDArray[np.float32]) -> None:
    band[3, 2] = 1.01


def channel_0_kept(band: NDArray[np.float32]) -> None:
    band[:, 0] = 1


def any_weights(band: NDArray[np.float32]) -> None:
    """Generalised divisive normalisation."""
    band[:] = np.random.default_rng(0).uniform(0, 1, band.shape)


def ends_divided_by_fewer(band: NDArray[np.float32]) -> None:
    band /= band.sum(axis=1, keepdims=True) / 5


def added(value: float):  # type: ignore[no-untyped-def]
    return lambda writer, base: writer.op("Add", base, writer.const(value))


def largest(value: float):  # type: ignore[no-untyped-def]
    return lambda writer, base: writer.op("Max", base, writer.const(value))


def per_channel(scale: float):  # type: ignore[no-untyped-def]
    return lambda writer: writer.const(scale * CHANNELS)


def beta_per_channel(writer: Writer, base: str) -> str:
    """A power of a power."""
    return writer.op("Pow", base, writer.const(CHANNELS))


def k_per_channel(writer: Writer, base: str) -> str:
    return writer.op("Add", base, writer.const(1e-3 * CHANNELS))


def k_per_pixel(writer: Writer, base: str) -> str:
    return writer.op("Add", base, writer.const(np.arange(6).reshape(3, 2)))


def alpha_by_images(writer: Writer) -> str:
    """Of as many images as there are."""
    images = writer.op("Gather", writer.op("Shape", "x"), writer.const(0, np.int64))
    return writer.op("Mul", writer.op("Cast", images, to=TensorProto.FLOAT), writer.const(1e-5))


def larger_where_it_is_large(writer: Writer, base: str) -> str:
    large = writer.op("Greater", base, writer.const(1e12))
    return writer.op("Where", large, writer.op("Mul", base, writer.const(2)), base)


NEAR_MISSES = {
    "alpha by the number of images": Torn("slices", "pow mul", factor=alpha_by_images),
    "a choice by the numbers": Torn("slices", "pow mul", base=larger_where_it_is_large),
    "padding left out of the average": Torn("pool without padding counted"),
    "the same between Transposes": Torn("pool without padding counted", **LAST),
    "the same by probes": Torn("pool without padding counted", "pow mul"),
    "the same as a convolution": Torn("conv", edit=ends_divided_by_fewer),
    "padded with ones": Torn("slices", "pow mul", pad_value=1.0),
    "a pool padded with ones": Torn("pool", pad_value=1.0),
    "pixels": Torn("pixels"),
    "pixels, by probes": Torn("pixels", "exp log"),
    "pixels and channels": Torn("channels and pixels"),
    "steps of two": Torn("every second"),
    "steps of two, channels last": Torn("every second", **LAST),
    "groups that do not slide": Torn("groups", left=1, right=0),
    "a window cut by a Slice": Torn("cut window"),
    "a window cut by a Slice, channels last": Torn("cut window", **LAST),
    "alpha for each channel": Torn("slices", factor=per_channel(2e-5)),
    "alpha for each channel, as a power of -beta": Torn(
        "cumsum", "pow mul", factor=per_channel(2e-5)
    ),
    "beta for each channel": Torn("slices", base=beta_per_channel),
    "k for each channel": Torn("slices", base=k_per_channel),
    "k for each channel, by probes": Torn("slices", "exp log", base=k_per_channel),
    "k for each pixel": Torn("slices", base=k_per_pixel),
    "no squares": Torn("slices", "pow mul", square="none"),
    "squares of another tensor": Torn("slices", square="other"),
    "squares of the activated tensor": Torn("slices", square="Relu"),
    "squares of the sigmoid": Torn("slices", square="Sigmoid"),
    "all channels": Torn("all channels"),
    "all channels, by a convolution": Torn("conv", left=5, right=5),
    "all channels, by probes": Torn("slices", "exp log", left=5, right=5),
    "all channels on one side": Torn("slices", "exp log", left=0, right=5),
    "an epsilon behind the power": Torn("slices", divisor=added(1e-3)),
    "a small epsilon behind the power": Torn("slices", divisor=added(1e-5)),
    "the larger of sum and epsilon": Torn("slices", base=largest(1e-3)),
    "alpha subtracted": Torn("slices", alpha=-1e-4, power="pow mul"),
    "another numerator": Torn("slices", numerator="Relu"),
    "the numerator with another sign": Torn("slices", numerator="Neg"),
    "a hole in the window": Torn("conv", edit=hole),
    "a weight that is another": Torn("einsum", edit=another_weight),
    "channel 0 kept, as CrossMapLRN2d does": Torn("matmul", edit=channel_0_kept),
    "weights of all kinds": Torn("conv", edit=any_weights),
}


def raised(proto: onnx.ModelProto) -> tuple[list[Raised], list[str]]:
    model = ir.from_proto(proto)
    done = raise_lrn(model)
    return done, [node.op_type for node in model.graph]


@pytest.mark.parametrize("how", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_near_misses_stay_as_they_are_written(how: Torn) -> None:
    proto = torn(how)
    done, after = raised(proto)
    assert after == [node.op_type for node in proto.graph.node]
    for item in done:
        assert item.spec is None
        assert item.reason


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (NEAR_MISSES["pixels"], "pixels within each channel, which ONNX's LRN cannot express"),
        (NEAR_MISSES["pixels, by probes"], "pixels within each channel"),
        (NEAR_MISSES["pixels and channels"], "not channels alone"),
        (NEAR_MISSES["padding left out of the average"], "leaves the padding out"),
        (NEAR_MISSES["the same by probes"], "not the same for every channel"),
        (NEAR_MISSES["an epsilon behind the power"], "added behind the power"),
        (NEAR_MISSES["no squares"], "no power of a constant and a sum"),
        (NEAR_MISSES["all channels, by probes"], "reaches over all of its 6 channels"),
        (NEAR_MISSES["a weight that is another"], "not the same for every channel"),
        (NEAR_MISSES["k for each channel, by probes"], "it differs from the LRN"),
    ],
)
def test_near_misses_are_told_with_what_is_wrong(how: Torn, reason: str) -> None:
    (item,), _ = raised(torn(how))
    assert reason in item.reason


def test_a_batch_that_takes_too_long_to_run_is_told() -> None:
    (item,), after = raised(torn(Torn("slices", "pow mul", shape=(96, 55, 55), batch=128)))
    assert item.spec is None
    assert "an input of shape [128, 96, 55, 55] is not run" in item.reason
    assert "LRN" not in after


@pytest.mark.parametrize("power", ["pow div", "pow mul"])
def test_a_value_inside_that_is_used_elsewhere_keeps_it_as_it_is(power: str) -> None:
    proto = torn(Torn("slices", power, outputs=("Pow",)))
    (item,), after = raised(proto)
    assert item.spec == LrnSpec(5, 1e-4, 0.75, 2)
    assert "is used elsewhere too" in item.reason
    assert after == [node.op_type for node in proto.graph.node]


def test_an_even_window_of_pytorchs_is_proven_and_stays() -> None:
    proto = torn(Torn("cumsum", "exp log", left=2, right=1))
    (item,), after = raised(proto)
    assert item.spec == LrnSpec(4, 1e-4, 0.75, 2)
    assert "size 4 is even" in item.reason
    assert "LRN" not in after


def test_a_planted_wrong_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last check is the definition: if the window were measured wrongly, it would not hold."""
    found = measure._window
    for shift in ((1, 1), (-1, -1), (1, 0), (0, 1)):

        def wrong(*args: object, shift: tuple[int, int] = shift) -> tuple[int, int]:
            left, right = found(*args)  # type: ignore[arg-type]
            return left + shift[0], right + shift[1]

        monkeypatch.setattr(measure, "_window", wrong)
        (item,), after = raised(torn(Torn("slices", "exp log", shape=(9, 2, 2))))
        assert item.spec is None
        assert "it differs from the LRN" in item.reason
        assert "LRN" not in after


@pytest.mark.parametrize("to", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_on_the_way_is_left_and_said(to: int) -> None:
    def through_half(writer: Writer, base: str) -> str:
        return writer.op("Cast", writer.op("Cast", base, to=to), to=TensorProto.FLOAT)

    done, after = raised(torn(Torn("slices", "pow mul", base=through_half)))
    assert "16 on the way, and only FLOAT is raised" in done[0].reason
    assert "LRN" not in after


def network(*lines: str, **constants: object) -> onnx.ModelProto:
    """``a = Mul x x`` and so on, of x (batch, 8, 4, 4)."""
    nodes = []
    for line in lines:
        made, _, call = line.partition("=")
        operator, *inputs = call.split()
        plain = [item for item in inputs if ":" not in item]
        attributes = {
            name: int(value) for name, _, value in (item.partition(":") for item in inputs) if value
        }
        nodes.append(helper.make_node(operator, plain, [made.strip()], **attributes))
    shape = ["batch", 8, 4, 4]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(
                np.asarray(value, np.int64 if isinstance(value, list) else np.float32), name
            )
            for name, value in constants.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


ORDINARY = {
    "softmax": network(
        "m = ReduceMax x c keepdims:1",
        "d = Sub x m",
        "e = Exp d",
        "s = ReduceSum e c keepdims:1",
        "y = Div e s",
        c=[1],
    ),
    "l2 normalisation": network(
        "q = Mul x x",
        "s = ReduceSum q c keepdims:1",
        "t = Add s e",
        "r = Sqrt t",
        "y = Div x r",
        c=[1],
        e=1e-6,
    ),
    "layer normalisation": network(
        "m = ReduceMean x c keepdims:1",
        "d = Sub x m",
        "q = Pow d two",
        "v = ReduceMean q c keepdims:1",
        "t = Add v e",
        "r = Sqrt t",
        "y = Div d r",
        c=[1, 2, 3],
        e=1e-5,
        two=2.0,
    ),
    "swish": network("s = Sigmoid x", "y = Mul x s"),
    "squeeze and excite": network(
        "p = GlobalAveragePool x",
        "c = Conv p w",
        "s = HardSigmoid c",
        "y = Mul x s",
        w=np.ones((8, 8, 1, 1)),
    ),
    "gelu": network(
        "a = Div x root",
        "e = Erf a",
        "b = Add e one",
        "h = Mul x b",
        "y = Mul h half",
        root=np.sqrt(2),
        one=1.0,
        half=0.5,
    ),
    "attention": network(
        "f = Reshape x f1",
        "q = MatMul f w",
        "k = MatMul f v",
        "t = Transpose k",
        "p = Reshape t f1",
        "s = Mul q p",
        "d = Div s root",
        "z = Softmax d",
        "y = Mul z f",
        f1=[-1, 4],
        w=np.eye(4),
        v=np.eye(4),
        root=2.0,
    ),
    "a gate": network("g = Conv x w", "h = Sigmoid g", "y = Mul x h", w=np.ones((8, 8, 1, 1))),
    "a gate without squares": network("g = Conv x w", "y = Mul x g", w=np.ones((8, 8, 1, 1))),
    "squares": network("y = Mul x x"),
}


@pytest.mark.parametrize("proto", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_divisions_and_products_cost_no_run(
    proto: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ir.from_proto(proto)
    before = ir.to_proto(model)
    assert [region for node in model.graph for region in regions(node)] == []
    monkeypatch.setattr(pass_, "RegionRun", None)
    assert raise_lrn(model) == []
    assert ir.to_proto(model) == before  # not even shapes were inferred
