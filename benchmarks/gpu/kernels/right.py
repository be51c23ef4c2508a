"""On a GPU: the results of the fused LRN kernels against the float64 definition.

Every fusion, type and layout, on ordinary and on large inputs; and each once more into an output
that was full of NaN, with NaN around it: the kernel must write every element, always the same, and
nothing beside them. Then a network whose LRN layers were fused, eager and compiled by PyTorch.

A case that fails or raises is a row with its reason, and the stage fails at its end.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.gpu.kernels.cases import (
    DTYPES,
    LARGEST_ERROR,
    fusion_called,
    in_torch,
    largest_error,
    number,
    reason,
)
from benchmarks.gpu.kernels.compile import (
    Job,
    checked_jobs,
    compile_all,
    timed_jobs,
    use_cache,
)
from benchmarks.gpu.kernels.device import Device, choose_device
from benchmarks.gpu.record import Record, StageOptions, run_stage
from lrn_deploy.models import ZOO
from lrn_deploy.plugins import gpu
from lrn_deploy.plugins.fusion import NAMES
from lrn_deploy.plugins.rewrite import fuse_lrn

LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
AMPLITUDES = (1.0, 1e2)
NETWORK = "digits"
_AROUND = 4096
"""Elements of NaN on either side of a poisoned output; so many keep it aligned."""

Row = dict[str, Any]


@contextmanager
def poisoned_outputs() -> Iterator[list[Tensor]]:
    """Within it the kernel's outputs lie in the middle of tensors full of NaN, those given."""
    fresh, made = gpu.empty_output, list[Tensor]()

    def poisoned(*args: Any, **options: Any) -> Tensor:
        y = fresh(*args, **options)
        made.append(y.new_full((y.numel() + 2 * _AROUND,), math.nan))
        return made[-1].as_strided(y.shape, y.stride(), _AROUND)

    with mock.patch.object(gpu, "empty_output", poisoned):
        yield made


def is_untouched_around(buffer: Tensor) -> bool:
    """Whether what lies beside a poisoned output is still NaN."""
    ends = torch.cat((buffer[:_AROUND], buffer[-_AROUND:]))
    return bool(ends.isnan().all().item())


def check_case(device: Device, name: str, kind: str, layout: str, amplitude: float) -> Row:
    """One fusion on fresh random inputs."""
    fusion = fusion_called(name)
    x = amplitude * torch.randn(device.checked, device=device.name)
    x = x.to(DTYPES[kind]).contiguous(memory_format=LAYOUTS[layout])
    found = device.fused(x, fusion)
    error = largest_error(found, in_torch(x.double(), fusion))
    with poisoned_outputs() as buffers:
        again = device.fused(x, fusion)
    wrong = []
    if not error <= LARGEST_ERROR[kind]:
        wrong.append(f"an error of {error:.2g}, allowed are {LARGEST_ERROR[kind]:g}")
    if not torch.equal(again, found):
        wrong.append("another result in memory that was full of NaN")
    if not all(is_untouched_around(buffer) for buffer in buffers):
        wrong.append("it writes beside its output")
    return {
        "shape": list(device.checked),
        "largest_relative_error": number(error),
        "poisoned": len(buffers),
        "verdict": "fail" if wrong else "pass",
        "reason": "; ".join(wrong),
    }


def check_network(device: Device) -> dict[str, Callable[[], Row]]:
    """A network's logits with its LRN layers fused, eager and compiled, beside those without."""
    network = ZOO[NETWORK].build().eval().to(device.name)
    x = 50 * torch.randn(4, *ZOO[NETWORK].input_shape, device=device.name)
    with torch.no_grad():
        wanted = network(x)
    fused = [done.name for done in fuse_lrn(network)]

    def check(prepare: Callable[[], Callable[..., Tensor]]) -> Row:
        with torch.no_grad():
            found = prepare()(x)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        largest = float((found - wanted).abs().max().item())
        return {"fused": fused, "largest_difference": largest, "verdict": "pass", "reason": ""}

    return {
        "eager": partial(check, lambda: network),
        "compiled": partial(check, partial(device.compiled, network)),
    }


def attempt(device: Device, check: Callable[[], Row]) -> Row:
    """A check's row, also where it raises."""
    before = time.perf_counter()
    try:
        row = check()
        device.settle()
    except Exception as error:  # whatever one case meets, the others go on
        row = {"verdict": "fail", "reason": reason(error)}
    if row["verdict"] != "pass":
        device.free()  # after the error's traceback, which holds tensors, is gone
    return row | {"seconds": round(time.perf_counter() - before, 3)}


def check_equality(device: Device) -> Iterator[Row]:
    """Every fusion, type and layout, as ordinary numbers and as large ones."""
    for names in itertools.product(NAMES, DTYPES, LAYOUTS, AMPLITUDES):
        name, kind, layout, amplitude = names
        described = {"fusion": name, "dtype": kind, "layout": layout, "amplitude": amplitude}
        yield described | attempt(device, partial(check_case, device, *names))


def check_networks(device: Device) -> Iterator[Row]:
    """The fused network, eager and compiled."""
    try:
        checks = check_network(device)
    except Exception as error:  # the network as it was does not run: not the kernels' fault
        yield {"network": NETWORK, "how": "unfused", "verdict": "fail", "reason": reason(error)}
        return
    for how, check in checks.items():
        yield {"network": NETWORK, "how": how} | attempt(device, check)


def failures(rows: list[Row]) -> list[str]:
    """A sentence for each fusion, or network, of which something failed."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.get("fusion") or f"{row['network']} {row['how']}", []).append(row)
    sentences = []
    for name, mine in by_name.items():
        wrong = [row for row in mine if row["verdict"] != "pass"]
        if wrong:
            first = ", ".join(str(wrong[0][key]) for key in ("dtype", "layout") if key in wrong[0])
            sentences.append(
                f"{name}: {len(wrong)} of {len(mine)} wrong, {first or 'first'}: "
                f"{wrong[0]['reason']}"
            )
    return sentences


def stage(options: StageOptions) -> int:
    """Check everything, a row each; then compile what ``kernels_fast`` will call."""
    device = choose_device(dry=options.dry)
    record = Record(options, "kernels_right")
    use_cache(options.work)
    record.put("device", device.name)
    rows: list[Row] = []
    with device.stream():
        checked = checked_jobs(device.checked, map(fusion_called, NAMES))
        compile_ahead(device, record, "compiled", checked)
        for key, checks in (("equality", check_equality), ("networks", check_networks)):
            for row in checks(device):
                record.add(key, row)
                rows.append(row)
            wrong = sum(row["verdict"] != "pass" for row in rows)
            print(f"{key}: {len(rows)} checks so far, {wrong} wrong", flush=True)
        compile_ahead(device, record, "compiled_for_kernels_fast", timed_jobs(device))
    wrong = sum(row["verdict"] != "pass" for row in rows)
    record.put("headline", f"{len(rows) - wrong} of {len(rows)} checks right")
    return record.finish(failures(rows))


def compile_ahead(device: Device, record: Record, key: str, jobs: Iterable[Job]) -> None:
    """Compile kernels; where that fails, the checks will tell which and why."""
    try:
        record.put(key, compile_all(device, jobs))
    except Exception as error:  # it only saves time
        record.put(key, {"reason": reason(error)})


if __name__ == "__main__":
    sys.exit(run_stage(stage))
