"""LRN alone on ONNX Runtime's CPU provider: its own kernel against the forms of ``lower_lrn``.

All forms of a case take turns in one process, each in a session of its own, on two threads. A
session's threads stop spinning when its run ends: else the idle ones would take the cores from the
one that is measured. A core that other programs keep busy slows the LRN node's kernel most, since
its threads wait for each other, and would flatter the other forms. So each case runs in bursts, the
share of the machine that others took during each burst is in the result, and the timings are those
of quiet bursts only; a case without enough of them says so and keeps all.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.harness import interleaved, ratio, spread, write_result
from lrn_deploy.lrn import LrnSpec, reference
from lrn_deploy.parity.graph import single_lrn
from lrn_deploy.passes.lrn.lower_lrn import Form, lower_lrn

THREADS = 2
BURSTS = 4
ROUNDS = {1: 15, 8: 6}
"""Rounds of a burst at each batch size."""
WARMUP = 2
ATTEMPTS = 14
"""Bursts that are tried until ``BURSTS`` of them were quiet."""
PAUSE_S = 0.4
QUIET = 0.08
"""Share of all processors' time that others may take in a quiet burst."""
AMPLITUDES = (1.0, 1e2, 1e3, 1e4)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """An LRN layer: where it occurs, its parameters, and the shape of one image in it."""

    name: str
    spec: LrnSpec
    shape: tuple[int, int, int]


PAPER = LrnSpec(5, 1e-4, 0.75, 2.0)
CAFFE = LrnSpec(5, 1e-4, 0.75, 1.0)
CASES = (
    Case("alexnet, first", PAPER, (96, 55, 55)),
    Case("alexnet, second", PAPER, (256, 27, 27)),
    Case("googlenet, first", CAFFE, (64, 56, 56)),
    Case("googlenet, second", CAFFE, (192, 56, 56)),
    Case("digits, first", CAFFE, (32, 8, 8)),
    Case("digits, second", CAFFE, (32, 4, 4)),
    Case("alexnet, second, size 3", LrnSpec(3, 1e-4, 0.75, 2.0), (256, 27, 27)),
    Case("alexnet, second, size 9", LrnSpec(9, 1e-4, 0.75, 2.0), (256, 27, 27)),
    Case("alexnet, second, beta 0.5", LrnSpec(5, 1e-4, 0.5, 2.0), (256, 27, 27)),
    Case("alexnet, second, beta 0.6", LrnSpec(5, 1e-4, 0.6, 2.0), (256, 27, 27)),
)


class Session:
    """An LRN in one form.

    Args:
        case: The layer.
        form: One of ``lower_lrn``'s, or None for the LRN node.
    """

    def __init__(self, case: Case, form: Form | None) -> None:
        model = ir.from_proto(single_lrn(case.spec))
        for value in (*model.graph.inputs, *model.graph.outputs):
            value.shape = ir.Shape(["batch", *case.shape])
        if form:
            lower_lrn(model, form)
        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = ort.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, x: Floats) -> NDArray[np.float32]:
        """LRN of ``x``."""
        (y,) = self.session.run(None, {"x": x})
        return np.asarray(y)


def measure(case: Case, batch: int) -> dict[str, Any]:
    """Time all forms of one case; ``speedup`` is the LRN node's time divided by the form's."""
    x = np.random.default_rng(0).standard_normal((batch, *case.shape)).astype(np.float32)
    sessions = {
        "LRN": Session(case, None),
        "slices": Session(case, "slices"),
        "band": Session(case, "band"),
    }
    bursts: list[tuple[float, dict[str, list[float]]]] = []
    while len(bursts) < ATTEMPTS and sum(others <= QUIET for others, _ in bursts) < BURSTS:
        time.sleep(PAUSE_S)
        clock = OthersClock()
        burst = interleaved(
            {name: partial(item.run, x) for name, item in sessions.items()},
            rounds=ROUNDS[batch],
            warmup=WARMUP,
        )
        bursts.append((clock.share(), burst))
    quiet = [burst for others, burst in bursts if others <= QUIET]
    chosen = quiet if len(quiet) == BURSTS else [burst for _, burst in bursts]
    samples = {name: [s for burst in chosen for s in burst[name]] for name in sessions}
    return {
        "case": case.name,
        "spec": asdict(case.spec),
        "shape": [batch, *case.shape],
        "quiet": len(quiet) == BURSTS,
        "share_of_others_by_burst": [others for others, _ in bursts],
        "load_average": os.getloadavg()[0],
        "summary_s": {name: spread(values) for name, values in samples.items()},
        "speedup": {
            name: ratio(samples["LRN"], samples[name])
            | {"of_minima": min(samples["LRN"]) / min(samples[name])}
            for name in ("slices", "band")
        },
        "samples_s": samples,
    }


def accuracy(case: Case) -> dict[str, Any]:
    """Largest relative error at several amplitudes, and how many channels one infinity reaches."""
    noise = np.random.default_rng(1).standard_normal((2, *case.shape))
    result: dict[str, Any] = {"case": case.name, "window": case.spec.size}
    forms: dict[str, Form | None] = {"LRN": None, "slices": "slices", "band": "band"}
    for name, form in forms.items():
        session = Session(case, form)
        errors = {}
        for amplitude in AMPLITUDES:
            x = (amplitude * noise).astype(np.float32)
            errors[f"{amplitude:g}"] = float(
                np.abs(session.run(x) / reference(x, case.spec) - 1).max()
            )
        x = np.ones((1, *case.shape), np.float32)
        clean = session.run(x)
        x[0, case.shape[0] // 4, 0, 0] = np.inf
        touched = ~np.isclose(session.run(x), clean, rtol=1e-5)
        result[name] = {
            "largest_relative_error": errors,
            "channels_that_an_infinity_reaches": int(touched.any(axis=(0, 2, 3)).sum()),
        }
    return result


class OthersClock:
    """How much of the machine other programs take from now on."""

    def __init__(self) -> None:
        self.busy, self.own, self.start = _busy_s(), time.process_time(), time.monotonic()

    def share(self) -> float:
        """Their share of all processors' time since the clock was made."""
        others = (_busy_s() - self.busy) - (time.process_time() - self.own)
        passed = (time.monotonic() - self.start) * (os.cpu_count() or 1)
        return round(max(0.0, others) / passed, 3)


def _busy_s() -> float:
    """Seconds that all processors together have worked: proc(5), all but idle and iowait."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print and write ``results/lrn_operator.json``."""
    before = os.getloadavg()
    results = []
    print("times as fast as the LRN node: medians (of the fastest runs)")
    for case in CASES:
        for batch in ROUNDS:
            result = measure(case, batch)
            results.append(result)
            forms = ", ".join(
                f"{name} {values['of_medians']:.2f} ({values['of_minima']:.2f})"
                for name, values in result["speedup"].items()
            )
            milliseconds = 1e3 * result["summary_s"]["LRN"]["median"]
            print(
                f"{case.name:<26} {batch} x {case.shape}: LRN {milliseconds:.2f} ms, {forms}; "
                f"{'quiet' if result['quiet'] else 'NOT QUIET'}",
                flush=True,
            )
    file = write_result(
        "lrn_operator",
        {
            "what": f"LRN alone on ONNX Runtime's CPU provider, {THREADS} threads, seconds",
            "load": {
                "average_before": before,
                "average_after": os.getloadavg(),
                "quiet_is_a_share_of_others_of_at_most": QUIET,
                "quiet_cases": sum(item["quiet"] for item in results),
                "cases": len(results),
            },
            "timings": results,
            "accuracy": [accuracy(CASES[0]), accuracy(CASES[1])],
        },
    )
    print(f"wrote {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


if __name__ == "__main__":
    main()
