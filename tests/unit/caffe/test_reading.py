"""Each layer's text -> its parameters, with Caffe's defaults, and what Caffe refuses."""

from __future__ import annotations

import pytest

from lrn_deploy.caffe.files.phases import in_use
from lrn_deploy.caffe.files.record import from_text
from lrn_deploy.caffe.files.text import parse
from lrn_deploy.caffe.files.training import auxiliary, cut_training
from lrn_deploy.caffe.parameters import (
    Affine,
    ArgMax,
    BatchNorm,
    Concat,
    Convolution,
    Crop,
    Eltwise,
    Flatten,
    Identity,
    InnerProduct,
    Lrn,
    Parameters,
    Pointwise,
    Pooling,
    PReLU,
    Reduction,
    Reshape,
    Slice,
    Softmax,
    Tile,
)
from lrn_deploy.caffe.reading import read_parameters
from lrn_deploy.errors import BadInputError


def read(kind: str, text: str = "") -> Parameters:
    return read_parameters(from_text(parse(f'type: "{kind}" {text}', "n"), "LayerParameter"))


def conv(kernel: tuple[int, ...] = (3,), **more: object) -> Convolution:
    given: dict[str, object] = {
        "outputs": 8, "kernel": kernel, "stride": (1,), "pad": (0,), "dilation": (1,),
        "group": 1, "bias": True, "transposed": False,
    }  # fmt: skip
    return Convolution(**(given | more))  # type: ignore[arg-type]


CONV = "num_output: 8 kernel_size: 3"


@pytest.mark.parametrize(
    ("kind", "text", "parameters"),
    [
        ("Dropout", "dropout_param { dropout_ratio: 0.9 }", Identity()),
        ("Split", "", Identity()),
        ("InnerProduct", "inner_product_param { num_output: 3 }", InnerProduct(3, 1, False, True)),
        (
            "InnerProduct",
            "inner_product_param { num_output: 3 axis: 2 transpose: true bias_term: false }",
            InnerProduct(3, 2, True, False),
        ),
        ("Eltwise", "", Eltwise("SUM", ())),
        (
            "Eltwise",
            "bottom: 'a' bottom: 'b' eltwise_param { coeff: 1 coeff: -2 }",
            Eltwise("SUM", (1.0, -2.0)),
        ),
        ("Concat", "", Concat(1)),
        ("Concat", "concat_param { axis: 2 }", Concat(2)),
        ("Concat", "concat_param { concat_dim: 3 }", Concat(3)),
        ("Slice", "", Slice(1, ())),
        (
            "Slice",
            "top: 'a' top: 'b' top: 'c' slice_param { slice_point: 1 slice_point: 2 slice_dim: 2 }",
            Slice(2, (1, 2)),
        ),
        ("Softmax", "", Softmax(1)),
        ("Flatten", "", Flatten(1, -1)),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", Reshape((0, -1), 0, -1)),
        ("Reshape", "reshape_param { axis: 1 num_axes: 2 }", Reshape((), 1, 2)),
        ("Crop", "crop_param { offset: 1 offset: 2 }", Crop(2, (1, 2))),
        ("BatchNorm", "", BatchNorm(1e-5)),
        ("Scale", "", Affine(1, 1, True, False)),
        ("Scale", "scale_param { bias_term: true axis: 2 num_axes: -1 }",
         Affine(2, -1, True, True)),
        ("Scale", "bottom: 'a' bottom: 'b' scale_param { axis: 0 }", Affine(0, 1, True, False)),
        ("Bias", "bias_param { num_axes: 0 }", Affine(1, 0, False, True)),
        ("ArgMax", "", ArgMax(None, 1, False)),
        ("ArgMax", "argmax_param { axis: 0 top_k: 3 out_max_val: true }", ArgMax(0, 3, True)),
        ("Reduction", "", Reduction("SUM", 0, 1.0)),
        ("Tile", "tile_param { tiles: 2 }", Tile(1, 2)),
        ("PReLU", "", PReLU(False)),
        ("ReLU", "", Pointwise("ReLU", {"negative_slope": 0.0})),
        ("ELU", "", Pointwise("ELU", {"alpha": 1.0})),
        ("Exp", "", Pointwise("Exp", {"base": -1.0, "scale": 1.0, "shift": 0.0})),
        ("Log", "log_param { base: 0.5 }",
         Pointwise("Log", {"base": 0.5, "scale": 1.0, "shift": 0.0})),
        ("Power", "", Pointwise("Power", {"power": 1.0, "scale": 1.0, "shift": 0.0})),
        ("Clip", "clip_param { min: -1 max: 2 }", Pointwise("Clip", {"min": -1.0, "max": 2.0})),
        ("Threshold", "", Pointwise("Threshold", {"threshold": 0.0})),
        ("Swish", "", Pointwise("Swish", {"beta": 1.0})),
        ("Sigmoid", "", Pointwise("Sigmoid", {})),
        ("Convolution", f"convolution_param {{ {CONV} }}", conv()),
        ("Deconvolution", f"convolution_param {{ {CONV} }}", conv(transposed=True)),
        (
            "Convolution",
            "convolution_param { num_output: 8 kernel_size: 3 kernel_size: 5 stride: 2 pad: 1 "
            "dilation: 2 dilation: 3 group: 4 bias_term: false }",
            conv((3, 5), stride=(2,), pad=(1,), dilation=(2, 3), group=4, bias=False),
        ),
        (
            "Convolution",
            "convolution_param { num_output: 8 kernel_h: 3 kernel_w: 5 stride_w: 2 pad_h: 1 }",
            conv((3, 5), stride=(1, 2), pad=(1, 0)),
        ),
        ("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 2 }",
         Pooling("MAX", (3, 3), (2, 2), (2, 2), False)),
        ("Pooling", "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 2 pad_w: 1 }",
         Pooling("AVE", (3, 2), (2, 1), (0, 1), False)),
        ("Pooling", "pooling_param { pool: AVE global_pooling: true }",
         Pooling("AVE", (), (1, 1), (0, 0), False)),
        ("Pooling", "pooling_param { kernel_size: 1 round_mode: FLOOR }",
         Pooling("MAX", (1, 1), (1, 1), (0, 0), True)),
        ("Pooling", "pooling_param { kernel_size: 1 ceil_mode: false }",
         Pooling("MAX", (1, 1), (1, 1), (0, 0), True)),
    ],
)  # fmt: skip
def test_parameters(kind: str, text: str, parameters: Parameters) -> None:
    assert read(kind, text) == parameters


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("", "", "of type '' cannot be imported"),
        ("MVN", "", "of type 'MVN' cannot be imported"),
        ("Eltwise", "bottom: 'a' eltwise_param { operation: PROD coeff: 1 }", "for SUM only"),
        ("Eltwise", "bottom: 'a' eltwise_param { coeff: 1 coeff: 2 }", "2 coefficients are given"),
        ("Concat", "concat_param { axis: 1 concat_dim: 1 }", "given both"),
        ("Slice", "top: 'a' slice_param { slice_point: 1 }", "1 tops need 0 slice points"),
        ("Slice", "top: 'a' top: 'b' slice_param { slice_point: 0 }", "grow from above 0"),
        (
            "Slice",
            "top: 'a' top: 'b' top: 'c' slice_param { slice_point: 2 slice_point: 2 }",
            "grow from above 0",
        ),
        ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", "-1 once at most"),
        ("Reshape", "reshape_param { shape { dim: -2 } }", "must be 0 or more"),
        ("BatchNorm", "batch_norm_param { use_global_stats: false }", "own statistics"),
        ("Scale", "bottom: 'a' bottom: 'b' scale_param { bias_term: true }", "second bottom"),
        ("ArgMax", "argmax_param { top_k: 0 }", "must be 1 or more"),
        ("Tile", "", "'tiles' is missing"),
        ("Clip", "clip_param { min: 1 }", "'max' is missing"),
        ("Exp", "exp_param { base: 0 }", "must be positive"),
        ("Log", "log_param { base: -2 }", "must be positive"),
        ("Convolution", f"convolution_param {{ {CONV} axis: 2 }}", "axis 1"),
        ("Convolution", f"convolution_param {{ {CONV} kernel_h: 1 }}", "is given beside"),
        ("Convolution", "convolution_param { num_output: 8 kernel_h: 3 }", "needed both"),
        ("Convolution", "convolution_param { num_output: 8 }", "'kernel_size' is missing"),
        ("Convolution", f"convolution_param {{ {CONV} stride: 0 }}", "stride 0 must be 1 or more"),
        (
            "Convolution",
            f"convolution_param {{ {CONV} pad: 2147483648 }}",
            "pad 2147483648 must be 0 or more",
        ),
        ("Convolution", "convolution_param { num_output: 8 kernel_size: 0 }", "kernel 0 must be 1"),
        ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 1 }", "stochastic"),
        ("Pooling", "top: 'a' top: 'b' pooling_param { kernel_size: 1 }", "a second top"),
        ("Pooling", "pooling_param { global_pooling: true kernel_size: 1 }", "no kernel size"),
        ("Pooling", "pooling_param { global_pooling: true kernel_w: 1 }", "no kernel size"),
        ("Pooling", "pooling_param { global_pooling: true pad: 1 }", "pad 0 and stride 1"),
        ("Pooling", "pooling_param { global_pooling: true stride: 2 }", "pad 0 and stride 1"),
        ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "smaller than the kernel"),
        (
            "Pooling",
            "pooling_param { kernel_h: 3 kernel_w: 2 pad: 2 }",
            "smaller than the kernel",
        ),
        ("LRN", "lrn_param { local_size: 4 }", "an odd local_size"),
        ("LRN", "lrn_param { local_size: 0 }", "an odd local_size"),
    ],
)
def test_what_caffe_refuses(kind: str, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        read(kind, text)


def test_lrn_within_a_channel_is_divided_by_the_square() -> None:
    text = "lrn_param {{ local_size: 3 norm_region: {} k: {} }}"
    across, within = (
        read("LRN", text.format("ACROSS_CHANNELS", 2)),
        read("LRN", text.format("WITHIN_CHANNEL", 2)),
    )
    assert isinstance(across, Lrn)
    assert isinstance(within, Lrn)
    assert (across.divisor, across.k, within.divisor, within.k) == (3, 2.0, 9, 1.0)
    assert across.spec is not None
    assert (across.spec.size, across.spec.alpha, across.spec.beta, across.spec.k) == (
        3, 1.0, 0.75, 2.0,
    )  # fmt: skip
    assert within.spec is None
    assert within.origins["k"] == "Caffe's constant within a channel; n:1 gives 2"
    same = read("LRN", text.format("WITHIN_CHANNEL", 1))
    assert isinstance(same, Lrn)
    assert same.origins["k"] == "n:1"


def kept(rules: str, state: str = "", stages: tuple[str, ...] = ()) -> bool:
    layer = from_text(parse(rules, "n"), "LayerParameter")
    return bool(in_use([layer], from_text(parse(state, "n"), "NetState"), stages))


@pytest.mark.parametrize(
    ("rules", "there"),
    [
        ("", True),
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN }", True),
        ("include { min_level: 3 }", True),
        ("include { min_level: 4 }", False),
        ("include { max_level: 3 }", True),
        ("include { max_level: 2 }", False),
        ("include { stage: 'a' }", True),
        ("include { stage: 'a' stage: 'b' }", True),
        ("include { stage: 'a' stage: 'c' }", False),
        ("include { not_stage: 'c' }", True),
        ("include { not_stage: 'b' }", False),
        ("exclude { stage: 'c' }", True),
        ("include { phase: TEST stage: 'c' }", False),
    ],
)
def test_the_rules_of_phases_levels_and_stages(rules: str, there: bool) -> None:
    assert kept(rules, "level: 3 stage: 'a' phase: TRAIN", ("b",)) == there


def test_rules_to_include_and_to_exclude_are_not_both() -> None:
    with pytest.raises(BadInputError, match="not both"):
        kept("include { } exclude { }")


def layers(text: str) -> list[object]:
    return from_text(parse(text, "n"), "NetParameter").all("layer")


def test_the_heaviest_loss_of_a_blob_counts_and_lighter_outputs_are_auxiliary() -> None:
    text = "".join(
        f"layer {{ type: 'SoftmaxWithLoss' bottom: '{name}' bottom: 'label' {weight} }}"
        for name, weight in (
            ("main", ""),
            ("side", "loss_weight: 0.3"),
            ("side", "loss_weight: 0.2"),
            ("both", "loss_weight: 0.5"),
            ("both", "loss_weight: 1"),
        )
    )
    left = cut_training(layers(text))  # type: ignore[arg-type]
    assert left.weights == {"main": 1.0, "side": pytest.approx(0.3), "both": 1.0}
    assert auxiliary(["main", "side", "both", "free"], left.weights) == ["side"]
    assert auxiliary(["side", "free"], left.weights) == []
    assert auxiliary(["free"], {}) == []


def test_what_needs_labels_only_is_cut_and_what_needs_one_too_is_refused() -> None:
    data = "layer { type: 'Data' name: 'd' top: 'x' top: 'label' }"
    left = cut_training(
        layers(  # type: ignore[arg-type]
            data
            + "layer { type: 'Flatten' name: 'f' bottom: 'label' top: 'flat' }"
            + "layer { type: 'ReLU' name: 'r' bottom: 'x' top: 'y' }"
            + "layer { type: 'Accuracy' name: 'a' bottom: 'y' bottom: 'flat' top: 'acc' }"
            + "layer { type: 'Silence' name: 's' bottom: 'y' }"
            + "layer { type: 'Data' name: 'nothing' }"
        )
    )
    assert [layer.get("name") for layer in left.layers] == ["r"]
    assert [layer.get("name") for layer in left.fed] == ["d", "nothing"]
    assert left.silenced == {"y"}
    assert left.told == [
        "n:1: data layer 'd' is cut; 'x' becomes an input.",
        "n:1: 'f' is cut: it needs labels only.",
        "n:1: Accuracy 'a' is cut.",
        "n:1: Silence 's' is cut.",
        "n:1: data layer 'nothing' is cut.",
    ]
    with pytest.raises(BadInputError, match="'c' needs 'label', a label of the data layer 'd'"):
        cut_training(layers(data + "layer { name: 'c' bottom: 'x' bottom: 'label' }"))  # type: ignore[arg-type]
