"""What determines the rows of a run, and what of it Ray is asked for."""

from __future__ import annotations

import json
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
from lrn_deploy.errors import BadInputError, CannotWriteError, DamagedError
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
    relabelled = colour_bundle(tmp_path / "other", labels=("a", "b", "c"))
    others = [
        _told(relabelled, "model", 2, limits),
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
        self.needed: list[str] = []

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
    monkeypatch.setattr(run, "runtime", SimpleNamespace(need=made.needed.append, joined=made.join))
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
    assert ray.needed == ["data", "data"]
    (job, _), _ = ray.ran
    assert (job.batch_size, job.top, job.column) == (8, 5, "image")
    rows = pq.read_table(out).to_pylist()
    assert [(row["image"], row["label"]) for row in sorted(rows, key=lambda row: row["image"])] == [
        (photos[at], "red") for at in (0, 2, 3)
    ]
    assert {len(row["predictions"]) for row in rows} == {3}


@pytest.mark.usefixtures("ray")
def test_a_bundle_that_classifies_no_images_is_refused_before_anything_is_written(
    tmp_path: Path, photos: list[str]
) -> None:
    plain = colour_bundle(tmp_path / "plain", preprocessing=None)
    with pytest.raises(BadInputError, match="cannot classify any"):
        classify_on_ray(str(plain.path), photos, out=str(tmp_path / "out"))
    torn = colour_bundle(tmp_path / "torn")
    (torn.path / "labels.txt").write_text("other\n")
    with pytest.raises(DamagedError, match=r"labels\.txt"):
        classify_on_ray(str(torn.path), photos, out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_every_process_finds_bundle_and_results_where_it_is(
    ray: Ray, bundle: str, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRN_DEPLOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    urls = f"file://{bundle}", "memory://found/by/all"
    for given, out in ("colours", "out"), urls:
        classify_on_ray(given, photos[:1], out=out)
    assert [(job.bundle, job.folder.url) for job, _ in ray.ran] == [
        (bundle, str(tmp_path / "out")),
        urls,
    ]


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


class RayData:
    """Ray Data in this process, which keeps what it was asked for."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: dict[str, Any] = {}
        self.context = SimpleNamespace(enable_progress_bars=True, print_on_execution_start=True)
        self.DataContext = SimpleNamespace(get_current=lambda: self.context)

    def from_items(self, rows: list[dict[str, str]], **asked: int) -> RayData:
        self.parts = [len(json.loads(row["places"])) for row in rows]
        self.asked |= asked
        return self

    def ActorPoolStrategy(self, *, size: int) -> int:  # noqa: N802 - as Ray has it
        return size

    def map(self, _kind: type, **asked: Any) -> RayData:
        self.asked |= asked
        return self

    def iter_rows(self) -> Iterator[dict[str, int]]:
        for count in self.parts:
            yield {"classified": count - 1, "bad": 1}
            if self.fails:
                raise self.fails


class RayError(Exception):
    """What Ray raises."""


def ran(
    patch: pytest.MonkeyPatch, data: RayData, images: int, count: int, **job: Any
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """What came of so many images in so many processes, and what was told meanwhile."""
    patch.setitem(sys.modules, "ray", SimpleNamespace(data=data))
    patch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=RayError))
    missing = [sources.Place(f"{number}.png") for number in range(images)]
    told: list[tuple[int, int]] = []
    made: Any = SimpleNamespace(**{"batch_size": 4, "device": "cpu"} | job)
    return (
        run._run(made, missing, count, lambda _what, done, total: told.append((done, total))),
        told,
    )


@pytest.mark.parametrize(
    ("images", "count", "batch", "parts", "blocks", "pool"),
    [
        (100, 2, 4, [7] * 14 + [2], 15, 2),  # eight parts for each process
        (3, 4, 8, [3], 1, 1),  # no less than a batch
        (4200, 1, 4, [512] * 8 + [104], 9, 1),  # no more than 512 images
        (1100, 1050, 1, [1] * 1100, 1000, 1050),
    ],
)
def test_images_go_in_parts_that_keep_all_processes_busy(
    images: int,
    count: int,
    batch: int,
    parts: list[int],
    blocks: int,
    pool: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = RayData()
    found, told = ran(monkeypatch, data, images, count, batch_size=batch)
    assert data.parts == parts
    assert (data.asked["override_num_blocks"], data.asked["compute"]) == (blocks, pool)
    assert (data.asked["num_cpus"], data.asked["num_gpus"]) == (1, None)
    assert found == (images - len(parts), len(parts))
    assert told == [(sum(parts[:at]), images) for at in range(len(parts) + 1)]
    assert set(vars(data.context).values()) == {False}


def test_on_gpus_each_process_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = RayData()
    ran(monkeypatch, data, 3, 1, device="cuda:0")
    assert data.asked["num_gpus"] == 1


def test_what_a_process_raised_is_raised_here_and_what_else_ray_says_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RayError("task failed")
    error.__cause__ = CannotWriteError("No room.")
    with pytest.raises(CannotWriteError, match="No room"):
        ran(monkeypatch, RayData(error), 3, 1)
    with pytest.raises(BadInputError, match=r"Ray has given up: out of memory What") as caught:
        ran(monkeypatch, RayData(RayError("Traceback\n  x\nout of memory\n")), 3, 1)
    assert "goes on with the rest" in caught.value.hint


def test_a_cluster_without_any_of_them_has_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    resources: dict[str, float] = {"CPU": 3.5, "GPU": 0.0}
    cluster = SimpleNamespace(cluster_resources=lambda: resources)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    assert (run._free("CPU"), run._free("GPU")) == (3, 1)
    del resources["CPU"]
    monkeypatch.setattr(run.os, "cpu_count", lambda: 7)
    assert run._free("CPU") == 7
    monkeypatch.setattr(run.os, "cpu_count", lambda: None)
    assert run._free("CPU") == 1
