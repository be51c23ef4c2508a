"""The arithmetic of the kernels' GPU benchmark, by values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.gpu.kernels import cases as kernels
from benchmarks.gpu.kernels.cases import Case, fusion_called

PLANE = (96, 55, 55)
BANDWIDTH = 3e12


def case(name: str, batch: int = 32, kind: str = "float16") -> Case:
    return Case(fusion_called(name), "first", kind, (batch, *PLANE), closely=True)


def judged(one: Case, medians: dict[str, float]) -> dict[str, Any]:
    row = kernels.evaluate(one, medians, BANDWIDTH)
    return row | {"missed": kernels.missed_targets(one, row, medians)}


def test_the_traffic_of_alexnet_s_first_block() -> None:
    values = 32 * 96 * 55 * 55
    shape = (32, *PLANE)
    assert kernels.traffic(fusion_called("relu_lrn"), shape, 2) == 2 * values * 2
    pooled = kernels.traffic(fusion_called("relu_lrn_maxpool"), shape, 2)
    assert pooled == (values + 32 * 96 * 27 * 27) * 2


def test_bandwidth_and_share_of_the_floor_by_hand() -> None:
    # 32 * 96 * 55 * 55 = 9,292,800 values of two bytes, read and written: 37.1712 MB in 20 us.
    row = kernels.evaluate(case("lrn"), {"fused": 20e-6, "copy": 15e-6}, BANDWIDTH)
    assert row["moved_bytes"] == 37_171_200
    assert row["floor_s"] == pytest.approx(12.3904e-6)
    assert row["share_of_floor"] == {"fused": pytest.approx(0.61952)}
    assert row["terabytes_per_s"]["fused"] == pytest.approx(1.85856)
    assert row["terabytes_per_s"]["copy"] == pytest.approx(2.47808)
    assert row["speedup"] == {}


def test_a_pool_s_copy_is_of_the_input_alone() -> None:
    # The pool writes 2,239,488 values: 23.064576 MB move, while a copy moves 37.1712 MB.
    row = kernels.evaluate(case("relu_lrn_maxpool"), {"fused": 1e-5, "copy": 1e-5}, BANDWIDTH)
    assert row["terabytes_per_s"] == {
        "fused": pytest.approx(2.3064576),
        "copy": pytest.approx(3.71712),
    }


@pytest.mark.parametrize(
    ("name", "batch", "medians", "missed"),
    [
        ("relu_lrn", 32, {"fused": 17.7e-6}, ["70% of the copy's bandwidth, not 80%"]),
        ("relu_lrn", 32, {"fused": 15.4e-6}, []),
        ("relu_lrn", 32, {"fused": 15e-6, "torch eager": 60e-6}, ["4.00 times torch eager, not 5"]),
        ("relu_lrn_maxpool", 32, {"fused": 1e-3, "torch eager": 5e-3, "unfused pair": 1.5e-3}, []),
        (
            "relu_lrn_maxpool",
            32,
            {"fused": 1e-3, "unfused pair": 1.2e-3},
            ["1.20 times unfused pair, not 1.5"],
        ),
        ("relu_lrn_maxpool", 8, {"fused": 1e-3, "unfused pair": 1e-3, "torch eager": 1e-3}, []),
    ],
)
def test_targets_are_judged(
    name: str, batch: int, medians: dict[str, float], missed: list[str]
) -> None:
    assert judged(case(name, batch), medians)["missed"] == missed


def test_a_miss_names_the_tile_that_was_the_best() -> None:
    row = judged(case("lrn"), {"fused": 30e-6, "fused 128x8": 20e-6, "fused 128x4": 25e-6})
    assert (row["default_tile"], row["best_tile"]) == ("128x16", "128x8")
    assert row["missed"][-1] == "tile 128x8 would be 1.50 times as fast as 128x16"
    assert judged(case("lrn"), {"fused": 19e-6, "fused 128x8": 20e-6})["best_tile"] == "128x16"
    assert judged(case("lrn"), {"fused": 19e-6})["best_tile"] is None


def test_without_the_kernel_there_is_no_speedup() -> None:
    row = kernels.evaluate(case("lrn"), {"torch eager": 1e-4}, BANDWIDTH)
    assert row["speedup"] == {}
    assert row["best_tile"] is None


def test_the_first_batch_in_the_first_type_comes_before_all() -> None:
    every = list(kernels.timed_cases(kernels.PLANES, (32, 128), ("float16", "float32")))
    assert len(every) == len(set(every)) == 4 * 2 * 2 * 2
    first = every[:8]
    assert {(one.dtype, one.shape[0], one.closely) for one in first} == {("float16", 32, True)}
    assert {one.fusion.name for one in first} == set(kernels.TIMED)
    assert not any(one.closely for one in every[8:])
