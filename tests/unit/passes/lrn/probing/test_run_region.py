"""A region that is cut out computes what it computes in its graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.passes.lrn.probing.region import regions
from lrn_deploy.passes.lrn.probing.run_region import (
    MAX_ELEMENTS,
    CannotRunError,
    RegionRun,
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
