"""A region that is cut out computes what it computes in its graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.probing import run_region
from lrn_deploy.passes.lrn.probing.region import regions
from lrn_deploy.passes.lrn.probing.run_region import (
    MAX_ELEMENTS,
    CannotRunError,
    RegionRun,
    TooLargeError,
    probing_shapes,
)
from tests.support.torn_lrn import torn
from tests.support.torn_parts import Torn


def value(*shape: int | str | None) -> ir.Value:
    return ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(shape))


def test_a_region_is_run_alone() -> None:
    model = ir.from_proto(torn(Torn("conv1d", "exp log")))
    (region,) = regions(list(model.graph)[-1])
    run = RegionRun(region, opset=18, ir_version=8)
    options = run._session.get_session_options()
    as_written = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert (options.graph_optimization_level, options.log_severity_level) == (as_written, 4)
    assert options.intra_op_num_threads == 1
    for shape in probing_shapes(region.x):
        x = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
        np.testing.assert_allclose(run(x), reference(x, LrnSpec(5, 1e-4, 0.75, 2)), rtol=1e-5)


def test_what_the_runtime_does_not_take_is_an_error_of_ours() -> None:
    model = ir.from_proto(torn(Torn("conv1d")))
    (region,) = regions(list(model.graph)[-1])
    with pytest.raises(CannotRunError, match="cannot run it"):
        RegionRun(region, opset=18, ir_version=8)(np.ones((2, 6, 3), np.float32))
    with pytest.raises(CannotRunError, match="does not take it"):
        RegionRun(region, opset=9999, ir_version=8)


def test_dynamic_axes_are_small_and_unlike_each_other() -> None:
    assert probing_shapes(value("batch", 6, "height", "width")) == [(2, 6, 5, 7), (3, 6, 6, 8)]
    assert probing_shapes(value("batch", 6, "side", "side")) == [(2, 6, 5, 5), (3, 6, 6, 6)]
    assert probing_shapes(value(None, 6, None, 3)) == [(2, 6, 5, 3), (3, 6, 6, 3)]
    assert probing_shapes(value(4, 6, 3)) == [(4, 6, 3)]


def test_regions_in_which_a_few_numbers_make_gigabytes_are_not_run() -> None:
    model = torn(Torn("slices"))
    (widths,) = [item for item in model.graph.initializer if list(item.dims) == [8]]
    widths.CopyFrom(numpy_helper.from_array(np.array([0, 2**25, 0, 0, 0, 2, 0, 0]), widths.name))
    (region,) = regions(list(ir.from_proto(model).graph)[-1])
    with pytest.raises(CannotRunError, match="too large"):
        RegionRun(region, opset=18, ir_version=8)


def test_inputs_of_any_size_are_not_run() -> None:
    with pytest.raises(CannotRunError, match="is not run"):
        probing_shapes(value(2, 2, MAX_ELEMENTS, 2))
    with pytest.raises(CannotRunError, match="is not run"):
        probing_shapes(value(0, 2, 2))
    with pytest.raises(CannotRunError, match="not known"):
        probing_shapes(ir.val("x", dtype=ir.DataType.FLOAT))


@pytest.mark.parametrize(("elements", "runs"), [(MAX_ELEMENTS, True), (MAX_ELEMENTS + 1, False)])
def test_the_largest_input_that_is_run(elements: int, runs: bool) -> None:
    assert MAX_ELEMENTS == 4 * 1024 * 1024
    if runs:
        assert probing_shapes(value(1, 1, elements)) == [(1, 1, elements)]
    else:
        with pytest.raises(TooLargeError, match="is not run"):
            probing_shapes(value(1, 1, elements))


def padded_to(length: int) -> RegionRun:
    """A region whose widest value holds 2 * 2 * ``length`` numbers."""
    model = torn(Torn("slices"))
    (widths,) = [item for item in model.graph.initializer if list(item.dims) == [8]]
    added = [0, length - 6, 0, 0, 0, 0, 0, 0]
    widths.CopyFrom(numpy_helper.from_array(np.array(added), widths.name))
    (region,) = regions(list(ir.from_proto(model).graph)[-1])
    assert region.x.shape is not None
    assert list(region.x.shape)[1:] == [6, 3, 2]
    return RegionRun(region, opset=18, ir_version=8)


def test_the_largest_value_inside_that_is_run() -> None:
    """The batch is free, so it is 2: 12 numbers for each channel."""
    padded_to(2**26 // 12)
    with pytest.raises(TooLargeError, match="too large"):
        padded_to(2**26 // 12 + 1)


@pytest.mark.parametrize(("version", "written"), [(1, 4), (4, 4), (8, 8), (10, 10), (99, 10)])
def test_a_file_is_written_in_a_version_that_the_runtime_takes(
    version: int, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[onnx.ModelProto] = []
    monkeypatch.setattr(run_region, "_require_small", lambda model, _shape: seen.append(model))
    (region,) = regions(list(ir.from_proto(torn(Torn("slices"))).graph)[-1])
    RegionRun(region, opset=18, ir_version=version)
    assert [model.ir_version for model in seen] == [written]


def test_another_shape_or_type_than_that_of_x_is_refused() -> None:
    model = ir.from_proto(torn(Torn("slices")))
    (region,) = regions(list(model.graph)[-1])
    run = RegionRun(region, opset=18, ir_version=8)
    x = np.ones((2, 6, 3, 2), np.float32)
    for made in (np.ones((2, 6, 3, 1), np.float32), np.ones((2, 6, 3, 2))):
        session = type("Session", (), {"run": lambda *_, made=made: [made]})()
        run._session = session
        with pytest.raises(CannotRunError, match="it makes float"):
            run(x)


def test_regions_are_run_where_onnx_runtime_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_region.can_run()
    monkeypatch.setattr(run_region.importlib.util, "find_spec", lambda _name: None)
    assert not run_region.can_run()
