"""What the documentation says of GPUs is what was recorded on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.draw import elsewhere, kernels, latency, overview, parity
from benchmarks.gpu.draw.__main__ import MARK, PAGES, RECORDED, ROOT
from benchmarks.gpu.draw.runs import Card, Run, group, read_cards
from benchmarks.gpu.draw.words import NOTHING
from benchmarks.runtimes.draw import between

CARDS = read_cards(RECORDED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_documentation_is_what_the_records_give(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count(f"<!-- {MARK}:begin -->") == text.count(f"<!-- {MARK}:end -->") == 1
    drawn = between(text, MARK, PAGES[page](CARDS))
    assert drawn == text, "draw it again: python -m benchmarks.gpu.draw"


def test_the_table_of_cards_says_runs_only_of_cards_on_which_engines_ran() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    (hopper,) = (line for line in text.splitlines() if line.startswith("| H100, H200 |"))
    ran = [
        card.title.removeprefix("NVIDIA ")
        for card in CARDS
        for run in card.runs
        if run.version("tensorrt-rtx").startswith("1.6.1") and "H" in card.title
        if any(one.side == "tensorrt" and one.checks for one in parity.compared(card))
    ]
    for card in ("H100", "H200"):
        assert (f"runs on an {card}" in hopper) <= (card in ran)


def content(**more: Any) -> dict[str, Any]:
    gpu = {"name": "A card", "driver": "1.2"}
    start = {"date": "2026-01-02", "finished": True, "failed": [], "machine": {"gpus": [gpu]}}
    return start | {"versions": {"torch": "2.0", "tensorrt-rtx": "1.6"}} | more


def card(*runs: dict[str, dict[str, Any]], outcomes: dict[str, Any] | None = None) -> Card:
    """A card with runs, the oldest first."""
    found = [Run("a", number, stages, outcomes or {}) for number, stages in enumerate(runs, 1)]
    (one,) = group(found)
    return one


def check(inputs: str, error: float | None, limit: float | None, *, batch: int = 1) -> Any:
    failed = error is None or (limit is not None and error > limit)
    return {
        "inputs": inputs,
        "batch": batch,
        "metrics": {"relative_l2": error},
        "budget": limit and {"relative_l2": limit},
        "verdict": "fail" if failed else "pass" if limit else "unjudged",
    }


def compared(what: str, precision: str, *checks: Any) -> list[dict[str, Any]]:
    start = {"network": "net", "what": what, "precision": precision}
    return [start | {"check": one} for one in checks]


def errors(scale: float, limit: float) -> tuple[Any, ...]:
    return (
        check("photographs", scale, limit),
        check("random", 2 * scale, limit, batch=3),
        check("active-x3", 3 * scale, 10 * limit),
        check("extremes", 4 * scale, None),
    )


PARITY = content(
    torch=compared("fp32", "fp32", *errors(1e-6, 1e-5)),
    onnxruntime=[
        *compared("model", "fp32", *errors(2e-6, 1e-5)),
        {"network": "net", "what": "trt-bf16", "precision": "bf16", "reason": "at /a/b.cc: no."},
    ],
    tensorrt=[
        *compared("rtx-fp32", "fp32", *errors(1e-4, 1e-5)),
        *compared("rtx-tf32", "tf32", *errors(1e-4, 1e-3)),
        {"network": "net", "what": "rtx-tf32: types", "realised": "as requested"},
    ],
    engines_run=2,
)


def test_errors_stand_with_their_limits_and_what_is_over() -> None:
    text = parity.section(card({"parity": PARITY}))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert table == [
        "| network | side | graph or precision | ordinary inputs | where LRN acts | extremes | "
        "limits |",
        "|---|---|---|---|---|---|---|",
        "| net | PyTorch | fp32 | 2.0e-06 (1.0e-05) | 3.0e-06 (1.0e-04) | 4.0e-06 (no limit) | "
        "within, told |",
        "| net | ONNX Runtime | model | 4.0e-06 (1.0e-05) | 6.0e-06 (1.0e-04) | "
        "8.0e-06 (no limit) | met |",
        "| net | ONNX Runtime | trt-bf16 | did not run |  |  |  |",
        "| net | TensorRT engine | rtx-fp32 | 2.0e-04 (1.0e-05) | 3.0e-04 (1.0e-04) | "
        "4.0e-04 (no limit) | **over** |",
        "| net | TensorRT engine | rtx-tf32 | 2.0e-04 (1.0e-03) | 3.0e-04 (1.0e-02) | "
        "4.0e-04 (no limit) | met |",
    ]
    assert "- trt-bf16 of net did not run on ONNX Runtime: at … no." in text
    assert (
        "- rtx-fp32 of net is over its limit: 2.0e-04 on ordinary inputs where 1.0e-05 is allowed; "
        "fp32 elsewhere: 2.0e-06 (PyTorch, fp32), 4.0e-06 (ONNX Runtime, model). Its errors equal "
        "those of rtx-tf32 on every input: it computes with the accuracy of TF32, although TF32 "
        "was switched off." in text
    )


def test_an_fp32_engine_with_errors_of_its_own_is_not_said_to_compute_in_tf32() -> None:
    rows = compared("rtx-fp32", "fp32", *errors(1.1e-4, 1e-5))
    rows += compared("rtx-tf32", "tf32", *errors(1e-4, 1e-3))
    (sentence,) = parity.sentences(parity.subjects({"tensorrt": rows}))
    assert "TF32" not in sentence


def test_an_error_that_is_no_number_is_the_largest() -> None:
    rows = compared("rtx-fp32", "fp32", check("random", None, 1.0), check("random", 0.5, 1.0))
    (one,) = parity.subjects({"tensorrt": rows})
    assert one.worst("ordinary") == (None, 1.0)
    assert "| not finite (1.0e+00) |" in parity.section(
        card({"parity": content(tensorrt=rows) | {"engines_run": 1}})
    )


LATENCY = content(
    device=[
        {"batch": 1, "medians_s": {"copy of 1 GiB": 5e-4, "rtx fp16": 4e-4, "torch": 2e-4}},
        {
            "batch": 8,
            "medians_s": {
                "copy of 1 GiB": 5e-4,
                "torch": 9e-4,
                "rtx fp16": 8e-4,
                "rtx fp16, CUDA graph": 7e-4,
            },
        },
    ],
    end_to_end=[{"batch": 1, "medians_s": {"torch": 1.5e-3}}],
    findings=[
        {"asked": "a floor", "ours": "rtx fp16", "floor_s": 3e-5, "times": 13.3, "met": False},
        {"asked": "ahead", "ours": "rtx fp16", "peer": "torch", "times": 1.125, "met": True},
    ],
    facts={
        "rtx fp16": {
            "first, nothing cached": {"load_s": 0.5, "run_s": 3.25},
            "error_against_pytorch_fp32": 5e-3,
            "layers_ms": {
                "Conv": 0.1,
                "__myl_Mul_0": 0.01,
                "local_response_norm_0_pooling_1": 0.15,
                "__myl_MulAddPowDiv_2": 0.04,
                "Gemm": 0.1,
            },
        },
        "rtx fp16, other": {"layers_ms": {"local_response_norm_0_slice": 0.1, "Gemm": 0.1}},
    },
)


def test_times_are_sorted_by_the_smallest_batch_and_aims_told_as_they_are() -> None:
    text = latency.section(card({"latency": LATENCY}))
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "|  | CUDA graph | device, batch 1 | device, batch 8 | end to end, batch 1 |",
        "|---|---|---|---|---|",
        "| torch |  | 200 | 900 | 1,500 |",
        "| rtx fp16 |  | 400 | 800 |  |",
        "| rtx fp16 | yes |  | 700 |  |",
        "| aim | the fastest engine that it is for | measured |  |",
        "|---|---|---|---|",
        "| a floor | rtx fp16 | takes 13.3 times the floor of 30 µs | **missed** |",
        "| ahead | rtx fp16 | is 1.12 times as fast as torch | met |",
        "| engine | first, nothing cached | relative L2 against PyTorch fp32 |",
        "|---|---|---|",
        "| rtx fp16 | 0.50 + 3.25 | 5.0e-03 |",
        "| engine | all layers | LRN's poolings | with squares and powers | share |",
        "|---|---|---|---|---|",
        "| rtx fp16 | 400 | 150 | 200 | 50% |",
        "| rtx fp16, other | 200 | none |  |  |",
    ]
    assert "Aims for the engines, 1 of 2 met:" in text
    assert "A copy of 1 GiB on the device moves 4.29 TB/s." in text


def timing(fusion: str, rate: float, copy: float) -> dict[str, Any]:
    return {
        "fusion": fusion,
        "layer": "first",
        "dtype": "float16",
        "batch": 32,
        "wrong": [],
        "terabytes_per_s": {"fused": rate, "copy": copy},
        "share_of_floor": {"fused": rate / 2},
        "speedup": {"torch eager": 16.64, "unfused pair": 2.5} if "pool" in fusion else {},
    }


def fast(copy_bandwidth: float) -> dict[str, Any]:
    return content(
        timings=[timing("lrn", 1.8, 3.0), timing("lrn_maxpool", 1.0, 2.0)],
        missed=["lrn first: 70%, not 80%"],
        copy_bandwidth=copy_bandwidth,
        rivals=[
            {
                "rival": "rtx",
                "layer": "first",
                "dtype": "float16",
                "batch": 32,
                "median_s": {"rtx": 1e-4, "fused": 1e-5},
                "speedup": 10.0,
            },
            {"rival": "tensorrt", "not_run": "tensorrt is not installed"},
        ],
    )


def test_kernels_stand_with_their_share_and_missed_targets() -> None:
    right = content(equality=[{"verdict": "pass"}, {"verdict": "fail"}], networks=[])
    text = kernels.section(card({"kernels_fast": fast(2e12), "kernels_right": right}))
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "| kernel | layer | type, batch | TB/s | copy, TB/s | share | eager | fused LRN, pool | "
        "compiled |",
        "|---|---|---|---|---|---|---|---|---|",
        "| lrn | first | fp16, 32 | 1.80 | 3.00 | 90% |  |  |  |",
        "| lrn_maxpool | first | fp16, 32 | 1.00 | 2.00 | 50% | 16.6 | 2.50 |  |",
        "| LRN alone | layer | type, batch | its µs | the kernel's µs | times as fast |",
        "|---|---|---|---|---|---|",
        "| TensorRT for RTX's LRN layer | first | fp16, 32 | 100.0 | 10.0 | 10.0 |",
    ]
    assert "1 of 2 checks against float64 are right." in text
    assert "1 targets missed, as the stage counts them.\n\n- lrn first: 70%, not 80%" in text
    assert "TensorRT's LRN layer was not timed: tensorrt is not installed." in text


def test_a_copy_that_was_faster_than_the_measure_is_told() -> None:
    slow = fast(2e12)
    told = kernels.other_copies(card({"kernels_fast": slow}), slow)
    assert told == (
        "The large copy that these shares and targets are measured by moved 2.00 TB/s. Copies of "
        "the inputs in the same stage reached 3.00 TB/s. Of the fastest of these the kernels "
        "without a pool have 60%; by it 0 of 1 would reach the target of 80%."
    )
    both = card({"kernels_fast": slow, "latency": LATENCY})
    assert "the copy of 1 GiB of the stage `latency` 4.29 TB/s" in kernels.other_copies(both, slow)
    right = fast(3e12)
    assert kernels.other_copies(card({"kernels_fast": right}), right) == ""


def test_the_newest_run_that_has_a_stage_counts_and_cards_are_kept_apart() -> None:
    old, new = content(device=LATENCY["device"]), content(finished=False, headline="")
    one = card({"latency": old, "made": content()}, {"latency": new})
    assert [run.name for run in one.runs] == ["a-2", "a-1"]
    found = one.newest("latency", "device")
    assert found is not None
    assert found[0].name == "a-1"
    assert overview.outcomes(one).splitlines()[2:] == [
        "| `made` | a-1 | passed |  |",
        "| `latency` | a-2 | not finished |  |",
    ]
    apart = group([Run("b", 1, {"made": content()}, {}), *one.runs])
    assert [[run.name for run in mine.runs] for mine in apart] == [["a-2", "a-1"], ["b-1"]]


def test_a_stage_that_left_no_file_is_told_with_its_reason() -> None:
    ended = {"server": {"state": "timed out", "reason": "it was killed at its limit of 75 s"}}
    one = card({"parity": PARITY}, outcomes=ended)
    assert "| `server` | a-1 | timed out | it was killed" in overview.outcomes(one)
    assert "| timed out on an A card: it was killed at its limit of 75 s |" in elsewhere.support(
        [one]
    )


def test_runs_are_read_from_folders_and_dry_ones_are_not(tmp_path: Path) -> None:
    versions = {"onnxruntime": "1.0", "onnxruntime-gpu": "2.0"}
    files = {
        "a-2/parity.json": content(versions=versions),
        "a-10/parity.json": content(),
        "a-11/parity.json": content(dry=True),
        "work/parity.json": content(),
    }
    for name, held in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(held), encoding="utf-8")
    (one,) = read_cards(tmp_path)
    assert [run.name for run in one.runs] == ["a-10", "a-2"]
    assert one.runs[1].version("onnxruntime") == "2.0"
    assert read_cards(tmp_path / "none") == []


def test_a_stage_that_was_not_begun_hides_no_earlier_run_of_it() -> None:
    earlier, later = {"server": content()}, {"made": content()}
    runs = [
        Run("a", 1, earlier, {"server": {"state": "failed", "reason": "it broke"}}),
        Run("a", 2, later, {"server": {"state": "not run"}, "zoo": {"state": "not run"}}),
    ]
    (one,) = group(runs)
    ended = {name: (run.name, run.outcome(name)) for name, run in one.attempts().items()}
    assert ended == {
        "server": ("a-1", "failed"),
        "made": ("a-2", "passed"),
        "zoo": ("a-2", "not run"),
    }


def test_the_summary_has_what_fell_short() -> None:
    one = card({"parity": PARITY | {"failed": ["a", "b"]}, "latency": LATENCY})
    text = elsewhere.summary([one])
    assert "1 of 2 engines are within every limit; not fp32 (2.0e-04 where 1.0e-05 is" in text
    assert "The fp32 engines of net compute with the accuracy of TF32" in text
    assert "1 of 2 graphs on ONNX Runtime are within every limit; not trt-bf16, which did" in text
    assert "1 of 2 aims of the engines are met; not: a floor (13.3)." in text
    assert text.endswith("- Stages of the check that did not pass: `parity`.")
    listed = elsewhere.tensorrt([one]).splitlines()
    assert "2 engines, of which 1 are within all limits against float64: rtx-tf32 of" in listed[0]
    assert "- Aim, a floor: **missed**; rtx fp16 takes 13.3 times the floor of 30 µs." in listed


def test_without_records_nothing_is_said_to_have_run() -> None:
    assert overview.page([]) == "Nothing yet."
    assert kernels.page([]) == elsewhere.summary([]) == NOTHING
    assert elsewhere.tensorrt([]) == f"- {NOTHING}"
    assert elsewhere.support([]).count("not run yet") == 6


def test_verdicts_come_from_their_own_stage_where_it_ran() -> None:
    older = [{"network": "net", "what": "validate", "verdict": "fail", "checks": 9, "failed": [1]}]
    newer = [{"network": "net", "verdict": "pass", "checks": 8, "failed": []}]
    parts = {"parity": PARITY | {"validate": older}}
    told = "`validate` on this card (a-1): net: fail, 1 of 9 checks failed."
    assert told in parity.section(card(parts))
    told = "`validate` on this card (a-2): net: pass, 0 of 8 checks failed."
    assert told in parity.section(card(parts, {"verdicts": content(networks=newer)}))


def test_what_an_engine_computes_in_stands_with_the_difference() -> None:
    engine = {"precision": "fp32", "realised": "different", "difference": "TF32", "lrn": []}
    artifacts = {"rtx-fp32": {"engine": engine | {"build_seconds": 1.5}, "bytes": 2_000_000}}
    made = content(networks=[{"network": "net", "artifacts": artifacts}])
    text = parity.section(card({"parity": PARITY, "made": made}))
    assert "| net | rtx-fp32 | fp32 | different: TF32 | 2.0e-04 | none | 1.50 | 2.0 |" in text
