"""From a rate and an objective to machines."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import RESULTS
from benchmarks.size_check.simulation import poisson, simulate
from lrn_deploy.bundle import Bundle, TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.sizing.options import SizeOptions
from lrn_deploy.sizing.plan import _replicas
from lrn_deploy.sizing.schema import SizeReport
from lrn_deploy.sizing.service import MEASURED, Curve
from lrn_deploy.sizing.size import _assumptions, size
from tests.support.image_bundles import colour_bundle
from tests.support.latency_reports import with_profile

RECORD = RESULTS / "gpu" / "h200-2" / "latency.json"
ORT = "model on onnxruntime:cpu"
ON_GPU = "model on onnxruntime:cuda:0"
REQUEST_BYTES = 500 + 4 * 3 * 8 * 8
OWN = MEASURED.per_request + REQUEST_BYTES * MEASURED.per_byte


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Whose batches of n take 6 + 4 n ms, on a machine of four cores with one for each replica."""
    times = {ORT: {batch: [0.006 + 0.004 * batch] * 4 for batch in (1, 2, 4, 8)}}
    return with_profile(colour_bundle(tmp_path / "colours"), times)


def sized(bundle: Bundle, **options: Any) -> SizeReport:
    return size(bundle, SizeOptions(**({"rate": 100.0, "slo_ms": 60.0} | options)))


def test_the_plan_keeps_the_objective_in_a_simulation(bundle: Bundle) -> None:
    report = sized(bundle, rate=1000.0)
    (plan,) = report.plans
    assert report.schema_version == 1  # scripts read it
    assert plan.machine.endswith(", 4 cores")
    assert plan.replicas_per_machine == 4
    assert plan.replicas == ceil(1000 / plan.replica.knee)
    assert plan.machines == ceil(plan.replicas / 4)
    assert plan.replica_rate == pytest.approx(1000 / plan.replicas)
    assert plan.bound == "processor"
    assert (plan.runs, plan.runs_timed, plan.device) == (ORT, 16, "cpu")
    assert plan.measured == "2026-01-02T03:04:05+00:00"
    assert plan.warnings == ()
    largest = plan.replica.max_batch_size
    own = np.array(
        [[0.006 + 0.004 * n + n * OWN + MEASURED.per_batch] for n in range(1, largest + 1)]
    )
    played = simulate(poisson(plan.replica_rate, 60_000, 1), own)
    assert plan.at_quantile == pytest.approx(np.percentile(played, 99), rel=0.04)
    assert plan.p50 == pytest.approx(np.median(played), rel=0.04)
    assert np.percentile(played, 99) < 0.060
    over = simulate(poisson(1.1 * plan.replica.knee, 60_000, 1), own)
    assert np.percentile(over, 99) > 0.060


def test_a_lone_request_takes_its_batch_of_one(bundle: Bundle) -> None:
    (plan,) = sized(bundle, rate=0.01).plans
    assert plan.p50 == pytest.approx(0.010 + OWN + MEASURED.per_batch, rel=0.01)
    assert plan.utilisation == pytest.approx(0.0001, rel=0.05)
    assert (plan.machines, plan.replicas) == (1, 1)


def test_a_given_batch_size_is_kept_and_a_chosen_one_bears_no_less(bundle: Bundle) -> None:
    knees = {
        most: sized(bundle, max_batch_size=most).plans[0].replica.knee for most in (1, 2, 4, 8)
    }
    best = sized(bundle).plans[0].replica
    assert best.knee == max(knees.values())
    assert knees[best.max_batch_size] == best.knee
    assert sized(bundle, max_batch_size=3).plans[0].replica.max_batch_size == 3
    one = sized(bundle, max_batch_size=1).plans[0].replica
    assert one.capacity == pytest.approx(1 / (0.010 + OWN + MEASURED.per_batch))


def test_a_network_that_is_over_in_a_moment_is_told_to_be_measured(tmp_path: Path) -> None:
    """Ten times the server's own part of a request are some 3.3 ms."""
    for at, (milliseconds, told) in enumerate([(2.0, True), (5.0, False)]):
        times = {ORT: {batch: [milliseconds * batch / 1e3] * 4 for batch in (1, 2)}}
        hasty = with_profile(colour_bundle(tmp_path / str(at)), times)
        warnings = sized(hasty).plans[0].warnings
        assert any("lrn-deploy load --ramp" in warning for warning in warnings) == told


def test_a_slow_network_card_bounds_the_machine(bundle: Bundle) -> None:
    carried = 1e6 / 8 * 1448 / 1538 / REQUEST_BYTES  # 93 requests a second
    report = sized(bundle, rate=1000.0, link_gbps=0.001)
    (plan,) = report.plans
    assert plan.bound == "network card"
    assert plan.machine_rate == pytest.approx(carried)
    assert plan.machines == ceil(1000 / carried)
    assert plan.replicas == plan.machines * ceil(1000 / plan.machines / plan.replica.knee)
    assert plan.link_share["fp32"] == pytest.approx(1000 / plan.machines / carried)
    assert plan.machines_for_a_million == ceil(1e6 / carried)
    assert {wire.form for wire in report.wires} == {"fp32", "uint8", "jpeg"}


def test_a_price_is_the_users_and_is_multiplied(bundle: Bundle) -> None:
    (plan,) = sized(bundle, rate=1000.0, price=(0.5,)).plans
    assert plan.cost_per_hour == 0.5 * plan.machines
    assert plan.cost_per_million_requests == pytest.approx(0.5 * plan.machines / 3.6)
    assert plan.million_cost_per_hour == 0.5 * plan.machines_for_a_million
    assert sized(bundle).plans[0].cost_per_hour is None


def test_decoding_on_the_processor_takes_time_of_the_networks(bundle: Bundle) -> None:
    tensors, images = (sized(bundle, send=form).plans[0].replica for form in ("fp32", "jpeg"))
    assert images.least - tensors.least == pytest.approx(0.002, rel=0.01)
    assert images.knee < tensors.knee


def test_requests_of_several_images_fill_batches_sooner(bundle: Bundle) -> None:
    (plan,) = sized(bundle, images=4, max_batch_size=8).plans
    batch = 0.006 + 0.004 * 8 + 2 * (MEASURED.of_request(500 + 4 * 768)) + MEASURED.per_batch
    assert plan.replica.capacity == pytest.approx(2 / batch)
    assert 4 <= plan.mean_batch <= 8


def test_batches_hold_a_request_at_least(bundle: Bundle) -> None:
    assert sized(bundle, images=8).plans[0].replica.max_batch_size == 8
    given = sized(bundle, images=4, max_batch_size=2).plans[0]
    assert given.replica.max_batch_size == 2  # a request with more runs all the same, alone
    assert given.mean_batch == pytest.approx(4)


@pytest.mark.parametrize(
    ("device", "threads", "cores", "gpus", "replicas"),
    [
        ("cpu", 2, 6, 0, 3),
        ("cpu", 4, 6, 0, 1),
        ("cpu", 8, 4, 0, 1),
        ("cpu", 0, 4, 0, 1),  # each run takes all of the machine
        ("cuda", 0, 4, 2, 2),
        ("cuda", 0, 4, 0, 1),
    ],
)
def test_a_machine_has_a_replica_for_each_gpu_or_as_many_as_its_cores_have_threads_for(
    device: str, threads: int, cores: int, gpus: int, replicas: int
) -> None:
    machine: Any = SimpleNamespace(cores=cores, gpus=gpus)
    assert _replicas(machine, Curve("model", device, threads, {})) == replicas


def test_beside_a_gpu_the_processor_decodes_and_bounds_the_machine(tmp_path: Path) -> None:
    """Four cores, kept at 80 %, and 10 ms an image: 320 images a second."""
    times = {ON_GPU: {1: [0.001], 8: [0.002]}}
    made = with_profile(colour_bundle(tmp_path / "colours"), times, prepare=0.010)
    for images in (1, 2):
        (plan,) = sized(made, send="jpeg", images=images).plans
        assert (plan.bound, plan.machine_rate) == ("decoding", pytest.approx(320 / images))
        assert plan.replicas == plan.machines * ceil(100 / plan.machines / plan.replica.knee)
    (plan,) = sized(made).plans
    assert (plan.bound, plan.device, plan.replicas_per_machine) == ("reading requests", "cuda", 1)
    assert plan.machine == "A processor"
    assert plan.warnings == ()  # reading goes on beside the GPU
    assert plan.replica.least == pytest.approx(0.001 + OWN + MEASURED.per_batch)


def test_what_is_taken_for_granted_is_told() -> None:
    options = SizeOptions(100.0, 60.0, link_gbps=2.5)
    profiles: Any = [SimpleNamespace(image=image) for image in ("a photo", "", "a photo", "b")]

    def told(send: str, *devices: str) -> str:
        plans: Any = tuple(SimpleNamespace(device=device) for device in devices)
        return " ".join(_assumptions(options, profiles, plans, send))

    plain = told("fp32", "cpu")
    assert (
        "the server adds 320 us and 0.9 ns a byte for each request and 170 us for each batch"
    ) in plain
    assert "carries 2.5 Gbit/s each way" in plain
    both = told("jpeg", "cuda", "cpu")
    for sentence, devices in (("On a processor, ", ["cpu"]), ("On a GPU, ", ["cuda"])):
        assert (sentence in plain) is (devices == ["cpu"])
        assert sentence in both
    assert "Decoding" not in plain
    assert "Decoding an image takes as long as that of the profile (a photo, b)." in both


def test_what_was_asked_for_stands_in_the_report(bundle: Bundle) -> None:
    asked = {"rate": 10.0, "slo_ms": 70.0, "quantile": 95.0, "images": 2, "link_gbps": 5.0}
    report = sized(bundle, **asked, max_batch_size=2, replicas=3)
    assert (report.model, report.rate, report.images) == ("colours", 10, 2)
    assert (report.slo, report.quantile, report.send, report.link_gbps) == (0.07, 95, "fp32", 5)
    (plan,) = report.plans
    assert (plan.replicas_per_machine, plan.machine) == (3, "A processor, 4 cores")
    assert plan.machine_rate == pytest.approx(3 * plan.replica.knee)
    wires = {wire.form: wire for wire in report.wires}
    assert (wires["uint8"].request_bytes, wires["uint8"].answer_bytes) == (500 + 2 * 192, 524)
    assert wires["uint8"].per_second == pytest.approx(5e9 / 8 * 1448 / 1538 / 884)


def test_a_gpu_of_a_record_is_bounded_by_the_card_before_the_gpu(tmp_path: Path) -> None:
    """AlexNet's input in fp32 is 618,348 bytes, and 1 Gbit/s carries 190 of them a second."""
    bundle = colour_bundle(tmp_path / "colours")
    source = bundle.manifest.model.model_copy(update={"input_shape": (3, 227, 227)})
    wide = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 227, 227))
    bundle = bundle.update(model=source, inputs=(wide,))
    asked = {"rate": 20_000.0, "slo_ms": 50.0, "profile": (RECORD, RECORD), "price": (2.0, 3.0)}
    report = size(bundle, SizeOptions(**(asked | {"link_gbps": 1.0})))  # type: ignore[arg-type]
    first, second = report.plans
    assert first.device == "cuda"
    assert first.bound == "network card"
    assert first.machine_rate == pytest.approx(190.17, rel=1e-3)
    assert first.machines == 106
    assert first.replica.knee > first.machine_rate
    fast = size(bundle, SizeOptions(**(asked | {"link_gbps": 100.0})))  # type: ignore[arg-type]
    assert fast.plans[0].bound == "reading requests"
    assert fast.plans[0].machine_rate == pytest.approx(0.8 / MEASURED.of_request(618_848), rel=1e-3)
    assert (first.cost_per_hour, second.cost_per_hour) == (212, 318)


def test_an_objective_that_no_request_can_keep_is_refused_with_the_least(bundle: Bundle) -> None:
    with pytest.raises(BadInputError, match=r"a lone request takes 10\.5 ms") as caught:
        sized(bundle, slo_ms=9.0)
    assert "more than 10.5 ms" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0.0}, "--rate must be above 0, got 0"),
        ({"rate": float("nan")}, "--rate must be above 0"),
        ({"slo_ms": -1.0}, "--slo-ms must be above 0"),
        ({"images": 0}, "--images must be above 0"),
        ({"quantile": 100.0}, "--quantile must be between"),
        ({"link_gbps": 0.0}, "--link-gbps must be above 0"),
        ({"price": (1.0, 2.0)}, "--price was given 2 times for 1 machines"),
        ({"price": (-1.0,)}, "--price must be 0 or more"),
        ({"max_batch_size": 16}, "Batches of 16 images were not measured"),
        ({"images": 9}, "Batches of 9 images were not measured"),
        ({"run": "int8"}, "'int8' is not in"),
    ],
)
def test_what_cannot_be_sized_is_refused(
    bundle: Bundle, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        sized(bundle, **options)


def test_images_cannot_be_sent_to_what_takes_none(bundle: Bundle) -> None:
    table = TensorSpec(name="table", dtype="int64", shape=("batch", 20))
    several = bundle.update(inputs=(*bundle.manifest.inputs, table))
    with pytest.raises(BadInputError, match="nothing can be sent as jpeg"):
        sized(several, send="jpeg")
    assert sized(several).send == "tensors"
