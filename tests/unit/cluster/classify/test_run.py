"""What determines the rows of a run, and what of it Ray is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.cluster.classify import run, sources
from lrn_deploy.cluster.classify.run import Tally, _told, classify_on_ray
from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.workflows.choice import pick_named
from tests.support.image_bundles import colour_bundle, picture

pq = pytest.importorskip("pyarrow.parquet")


def test_a_row_tells_what_made_it(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    limits = ImageLimits(max_bytes=1000, max_pixels=100)
    told = _told(bundle, "model", 2, limits)
    assert told["model"] == bundle.manifest.model.name
    assert told["artifact"] == "model"
    assert told["artifact_sha256"] == bundle.manifest.artifact("model").sha256
    others = [
        _told(bundle, "model", 3, limits),
        _told(bundle, "model", 2, ImageLimits(max_bytes=1000, max_pixels=99)),
    ]
    assert all(other["rules_sha256"] != told["rules_sha256"] for other in others)
    assert _told(bundle, "model", 2, limits) == told


class Ray:
    """A cluster of six CPUs and two GPUs that is joined; its only process is this one."""

    def __init__(self) -> None:
        self.joined: list[tuple[str, float]] = []
        self.ran: list[tuple[run.Job, int]] = []

    @contextmanager
    def join(self, address: str, *, cpus: float) -> Iterator[bool]:
        self.joined.append((address, cpus))
        yield False

    def run(
        self, job: run.Job, missing: Sequence[sources.Place], count: int, _progress: Any
    ) -> tuple[int, int]:
        self.ran.append((job, count))
        told = run.Classifier(job)({"places": sources.written(missing)})
        return told["classified"], told["bad"]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray()
    monkeypatch.setattr(run, "runtime", SimpleNamespace(need=lambda _: None, joined=made.join))
    monkeypatch.setattr(run, "_run", made.run)
    monkeypatch.setattr(run, "_free", lambda kind: {"CPU": 6, "GPU": 2}[kind])
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(colour_bundle(tmp_path / "colours").path)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Three images and one that is none."""
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for file in files:
        file.write_bytes(picture("red"))
    files[1].write_bytes(b"broken")
    return list(map(str, files))


def test_a_further_run_does_what_is_missing_and_counts_the_rest(
    ray: Ray, bundle: str, photos: list[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    assert classify_on_ray(bundle, photos[:2], out=out, address="a:1") == Tally(2, 0, 1, 1)
    assert classify_on_ray(bundle, photos, out=out) == Tally(4, 2, 2, 1)
    assert ray.joined == [("a:1", 0), ("", 0)]
    rows = pq.read_table(out).to_pylist()
    assert [(row["image"], row["label"]) for row in sorted(rows, key=lambda row: row["image"])] == [
        (photos[at], "red") for at in (0, 2, 3)
    ]
    assert {len(row["predictions"]) for row in rows} == {3}


def test_where_all_is_done_no_cluster_is_joined(
    ray: Ray, bundle: str, photos: list[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    classify_on_ray(bundle, photos, out=out)
    assert classify_on_ray(bundle, photos, out=out) == Tally(4, 4, 0, 1)
    assert len(ray.joined) == len(ray.ran) == 1


@pytest.mark.parametrize(
    ("device", "workers", "count"), [("cpu", 0, 6), ("cuda:0", 0, 2), ("cuda", 1, 1), ("cpu", 3, 3)]
)
def test_there_are_as_many_processes_as_are_asked_for_or_as_run_at_once(
    device: str,
    workers: int,
    count: int,
    ray: Ray,
    bundle: str,
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = {}

    def on_the_cpu(bundle: Bundle, device: str, **told: Any) -> Any:
        at[device] = told["gpu_memory"]
        return pick_named(bundle, "cpu", **told | {"gpu_memory": None})

    monkeypatch.setattr(run, "pick_named", on_the_cpu)
    options = {"device": device, "workers": workers, "gpu_memory": 1000}
    classify_on_ray(bundle, photos, out=str(tmp_path / "out"), **options)  # type: ignore[arg-type]  # of several types
    ((job, ran),) = ray.ran
    assert ran == count
    assert at == {device: 1000}
    assert (job.device, job.gpu_memory, job.threads) == (device, 1000, 1)
    assert ray.joined == [("", workers)]


def test_a_cluster_without_any_of_them_has_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    resources: dict[str, float] = {"CPU": 3.5, "GPU": 0.0}
    cluster = SimpleNamespace(cluster_resources=lambda: resources)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    assert (run._free("CPU"), run._free("GPU")) == (3, 1)
    del resources["CPU"]
    monkeypatch.setattr(run.os, "cpu_count", lambda: 7)
    assert run._free("CPU") == 7
