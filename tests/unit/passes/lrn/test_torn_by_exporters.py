"""What PyTorch's exporters make of LRN, by its own function or written out, is raised."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor, nn

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.raise_lrn import raise_lrn

CHANNELS = 6
SHAPE = (CHANNELS, 3, 2)


def padded(x: Tensor) -> Tensor:
    return F.pad(x * x, (0, 0, 0, 0, 2, 2))


def slices(x: Tensor) -> Tensor:
    p, total = padded(x), 2.0
    for at in range(5):
        total = total + 2e-5 * p[:, at : at + CHANNELS]
    return x / total**0.75  # type: ignore[operator]


def sum_of_slices(x: Tensor) -> Tensor:
    p = padded(x)
    total = sum(p[:, at : at + CHANNELS] for at in range(5))
    return x * (2 + 2e-5 * total) ** -0.75  # type: ignore[return-value]


def convolution_in_3d(x: Tensor) -> Tensor:
    total = F.conv3d((x * x).unsqueeze(1), torch.ones(1, 1, 5, 1, 1), padding=(2, 0, 0))
    return x / (2 + 2e-5 * total.squeeze(1)) ** 0.75


BAND = (abs(torch.arange(CHANNELS)[:, None] - torch.arange(CHANNELS)) <= 2).float()


def band_convolution(x: Tensor) -> Tensor:
    return x / (2 + 2e-5 * F.conv2d(x * x, BAND[:, :, None, None])) ** 0.75


def convolution_over_channels(x: Tensor) -> Tensor:
    rows = (x * x).permute(0, 2, 3, 1).reshape(-1, 1, CHANNELS)
    total = F.conv1d(rows, torch.ones(1, 1, 5), padding=2)
    total = total.reshape(-1, x.shape[2], x.shape[3], CHANNELS).permute(0, 3, 1, 2)
    return x / (2 + 2e-5 * total) ** 0.75


def einsum(x: Tensor) -> Tensor:
    return x / (2 + 2e-5 * torch.einsum("nchw,oc->nohw", x * x, BAND)) ** 0.75


def running_sum(x: Tensor) -> Tensor:
    running = torch.cumsum(F.pad(x * x, (0, 0, 0, 0, 3, 2)), dim=1)
    return x / (2 + 2e-5 * (running[:, 5:] - running[:, :CHANNELS])) ** 0.75


def exp_and_log(x: Tensor) -> Tensor:
    total = F.conv2d(x * x, BAND[:, :, None, None])
    return x * torch.exp(-0.75 * torch.log(2 + 2e-5 * total))


def reciprocal_roots(x: Tensor) -> Tensor:
    root = torch.rsqrt(2 + 2e-5 * F.conv2d(x * x, BAND[:, :, None, None]))
    return x * (root * torch.sqrt(root))


def roots(x: Tensor) -> Tensor:
    root = torch.sqrt(2 + 2e-5 * F.conv2d(x * x, BAND[:, :, None, None]))
    return x / (root * torch.sqrt(root))


def reciprocal(x: Tensor) -> Tensor:
    return x * torch.reciprocal((2 + 2e-5 * F.conv2d(x.square(), BAND[:, :, None, None])).pow(0.75))


def pooled(x: Tensor) -> Tensor:
    """Cadene's."""
    mean = F.avg_pool3d(x.pow(2).unsqueeze(1), (5, 1, 1), stride=1, padding=(2, 0, 0)).squeeze(1)
    return x / (1e-4 * mean + 2).pow(0.75)


def channels_last(x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    y = x / (2 + 2e-5 * ((x * x) @ BAND)) ** 0.75
    return y.permute(0, 3, 1, 2)


def unfolded(x: Tensor) -> Tensor:
    return x / (2 + 2e-5 * padded(x).unfold(1, 5, 1).sum(-1)) ** 0.75


def own_function(x: Tensor) -> Tensor:
    return F.local_response_norm(x, 5, k=2.0)


WRITTEN = (
    slices,
    sum_of_slices,
    convolution_in_3d,
    band_convolution,
    convolution_over_channels,
    einsum,
    running_sum,
    exp_and_log,
    reciprocal_roots,
    roots,
    reciprocal,
    pooled,
    channels_last,
    own_function,
)
SPEC = LrnSpec(5, 1e-4, 0.75, 2.0)


class Forms(nn.Module):
    """Many forms on one input, an output each, so that one export shows them all."""

    def __init__(self, *forms: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forms = forms

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(form(x + at) for at, form in enumerate(self.forms))


def exported(
    module: nn.Module, shape: tuple[int, ...], *, opset: int, dynamo: bool, dynamic: bool = True
) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    module.eval()
    x = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(
                module,
                (x,),
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=["x"],
                dynamic_shapes=({0: torch.export.Dim("batch")},) if dynamic else None,
            )
            assert program is not None
            return program.model_proto
        file = io.BytesIO()
        axes = {"x": {0: "batch"}} if dynamic else None
        torch.onnx.export(
            module,
            (x,),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes=axes,
        )
        return onnx.load_model_from_string(file.getvalue())


def outputs(proto: onnx.ModelProto, x: Tensor) -> list[np.ndarray]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, {"x": x.numpy()})]


def assert_raised(
    proto: onnx.ModelProto, specs: list[LrnSpec], shape: tuple[int, ...] = SHAPE
) -> None:
    model = ir.from_proto(proto)
    done = raise_lrn(model)
    assert [(item.spec, item.reason) for item in done] == [(spec, "") for spec in specs]
    assert [node.op_type for node in model.graph].count("LRN") == len(specs)
    x = 300 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    made = outputs(ir.to_proto(model), x)
    for at, (before, after, spec) in enumerate(zip(outputs(proto, x), made, specs, strict=True)):
        np.testing.assert_allclose(after, before, rtol=2e-5)
        truth = reference((x + at).numpy(), spec).reshape(after.shape)
        np.testing.assert_allclose(after, truth, rtol=2e-5)


@pytest.mark.parametrize(("opset", "dynamic"), [(12, True), (17, False)])
def test_forms_by_torchscript(opset: int, dynamic: bool) -> None:
    proto = exported(Forms(*WRITTEN), SHAPE, opset=opset, dynamo=False, dynamic=dynamic)
    assert_raised(proto, [SPEC] * len(WRITTEN))


OWN = (
    LrnSpec(1, 1e-4, 0.75, 1.0),
    LrnSpec(3, 5e-4, 0.5, 2.0),
    LrnSpec(5, 1e-4, 1.0, 1.0),
    LrnSpec(9, 1e-6, 0.9, 1.5),
)
"""All kinds of parameters for PyTorch's own function."""


def own(spec: LrnSpec) -> Callable[[Tensor], Tensor]:
    return lambda x: F.local_response_norm(x, spec.size, spec.alpha, spec.beta, spec.k)


def of_rank_3(x: Tensor) -> Tensor:
    return F.local_response_norm(x.flatten(2), 5, k=2.0)


def of_rank_5(x: Tensor) -> Tensor:
    return F.local_response_norm(x.unsqueeze(3), 5, k=2.0)


@pytest.mark.parametrize(
    ("opset", "dynamic"),
    [(9, True), (9, False), (11, True), (13, True), (16, True), (16, False), (20, True)],
)
def test_pytorchs_own_by_torchscript_at_any_opset(opset: int, dynamic: bool) -> None:
    specs = OWN if opset == 9 else OWN[1:2]
    forms = Forms(*map(own, specs))
    assert_raised(exported(forms, SHAPE, opset=opset, dynamo=False, dynamic=dynamic), [*specs])


@pytest.mark.parametrize("shape", [(CHANNELS, 7), (CHANNELS, 2, 3, 2)])
@pytest.mark.parametrize("opset", [9, 17])
def test_other_ranks_by_torchscript(shape: tuple[int, ...], opset: int) -> None:
    forms = Forms(*map(own, OWN[1:3]))
    assert_raised(exported(forms, shape, opset=opset, dynamo=False), [*OWN[1:3]], shape)


def test_forms_by_dynamo() -> None:
    """In one export, which takes seconds, however small it is; other opsets have the same nodes."""
    forms = (
        *(own_function, own(OWN[0]), of_rank_3, of_rank_5, pooled),
        *(slices, einsum, running_sum, unfolded, channels_last, exp_and_log),
    )
    proto = exported(Forms(*forms), SHAPE, opset=18, dynamo=True)
    for opset in (18, 20, 23):
        proto.opset_import[0].version = opset
        assert_raised(proto, [SPEC, OWN[0], *[SPEC] * (len(forms) - 2)])


class Autocast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            return F.local_response_norm(F.conv2d(x, BAND[:, :, None, None]), 5, k=2.0)


def test_autocast_is_left_and_said() -> None:
    model = ir.from_proto(exported(Autocast(), SHAPE, opset=18, dynamo=False))
    (item,) = raise_lrn(model)
    assert "LRN" not in [node.op_type for node in model.graph]
    assert item.spec is None
    assert "FLOAT16" in item.reason
