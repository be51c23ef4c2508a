"""Classify many images by Ray Data: what is missing of them, in blocks, each written as it ends."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.cluster import runtime
from lrn_deploy.cluster.classify import sources, table
from lrn_deploy.cluster.classify.folder import Folder
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.images.decode import DEFAULT_LIMITS, ImageLimits
from lrn_deploy.progress import Progress, silent
from lrn_deploy.stores import is_url, local_bundle
from lrn_deploy.workflows.choice import pick_named
from lrn_deploy.workflows.classify import class_labels, classify_on, image_preprocessing

_MOST_IMAGES = 512  # of one part
_PARTS_EACH = 8  # for each process at least, so that all end at about the same time
_MOST_BLOCKS = 1000  # of Ray's; each has one part or several


@dataclass(frozen=True)
class Job:
    """What each process does with its images. Picklable.

    Attributes:
        bundle: The bundle's folder or URL.
        artifact: What of it is run.
        device: Where.
        gpu_memory: Most bytes of GPU memory that it may take; None for all that is free.
        threads: Threads of one run on the CPU; 0 lets the runtime choose.
        batch_size: Images that the network takes at once.
        top: Classes to report.
        limits: What is decoded at most.
        column: The Parquet files' column of images.
        told: What determines the results, for each row.
        folder: Where they go.
    """

    bundle: str
    artifact: str
    device: str
    gpu_memory: int | None
    threads: int
    batch_size: int
    top: int
    limits: ImageLimits
    column: str
    told: Mapping[str, str]
    folder: Folder


@dataclass(frozen=True)
class Tally:
    """What a run came to.

    Attributes:
        images: All that were named.
        before: Those of them that runs before had done.
        classified: Those that this run has classified.
        bad: Those of them all that could not be.
    """

    images: int
    before: int
    classified: int
    bad: int


class Classifier:
    """A network that is loaded, in a process of Ray's.

    Args:
        job: What to do.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bundle = Bundle.open(local_bundle(job.bundle))
        picked = pick_named(
            self._bundle,
            job.device,
            artifact=job.artifact,
            threads=job.threads,
            gpu_memory=job.gpu_memory,
        )
        data = self._bundle.load(job.artifact)
        self._session = picked.backend.load(data)
        self._labels = class_labels(self._bundle)
        self._preprocessing = image_preprocessing(self._bundle.manifest)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, int]:
        """Classify the images of one part and write it.

        Args:
            row: With ``places``, as :func:`sources.written` gives them.
        """
        job = self._job
        places = sources.read_back(row["places"])
        results = list(
            classify_on(
                self._session,
                self._preprocessing,
                self._labels,
                sources.opened(places, job.column, job.limits),
                batch_size=job.batch_size,
                top=job.top,
                limits=job.limits,
            )
        )
        bad = sum(bool(result.error) for result in results)
        job.folder.commit(
            [place.name for place in places], table.parquet(results, job.told), table.lines(results)
        )
        return {"classified": len(results) - bad, "bad": bad}


def classify_on_ray(
    bundle: str,
    words: Sequence[str],
    *,
    out: str,
    column: str = "image",
    artifact: str | None = None,
    device: str = "cpu",
    gpu_memory: int | None = None,
    batch_size: int = 8,
    top: int = 5,
    limits: ImageLimits = DEFAULT_LIMITS,
    workers: int = 0,
    address: str = "",
    progress: Progress = silent,
) -> Tally:
    """Classify images to a folder of Parquet files; go on where a run before has ended.

    Args:
        bundle: The bundle's folder or URL; each process opens it itself.
        words: Images, as :func:`sources.find` takes them.
        out: The folder, a path or a URL.
        column: The Parquet files' column of images.
        artifact: Name of the artifact to run; what suits this machine if None.
        device: Where each process runs it.
        gpu_memory: Most bytes of GPU memory that it may take.
        batch_size: Images that the network takes at once.
        top: Classes to report.
        limits: What is decoded at most.
        workers: Processes; 0: one for each CPU, or GPU, of the cluster.
        address: Of the Ray cluster; empty starts one here.
        progress: Told how many of the images that were missing are done.

    Raises:
        BadInputError: If there are no images, the network takes none, or the folder has something
            else in it.
        CannotWriteError: If the folder cannot be written; what is done stays done.
        MissingError: If Ray, or what the artifact runs on, is not installed.
    """
    runtime.need("data")
    opened = Bundle.open(local_bundle(bundle))
    image_preprocessing(opened.manifest)
    class_labels(opened)
    name = pick_named(opened, device, artifact=artifact, gpu_memory=gpu_memory).artifact
    places = sources.find(words, column)
    folder = Folder(out if is_url(out) else str(Path(out).absolute()))
    told = _told(opened, name, top, limits)
    good, bad_ones = folder.begin(told)
    done = good | bad_ones
    missing = [place for place in places if place.name not in done]
    before = len(places) - len(missing)
    bad_before = sum(place.name in bad_ones for place in places)
    if not missing:
        return Tally(len(places), before, 0, bad_before)
    with runtime.joined(address, cpus=workers):
        count = workers or _free("GPU" if device.startswith("cuda") else "CPU")
        job = Job(
            bundle if is_url(bundle) else str(Path(bundle).absolute()),
            name,
            device,
            gpu_memory,
            1,
            batch_size,
            top,
            limits,
            column,
            told,
            folder,
        )
        classified, bad = _run(job, missing, count, progress)
    return Tally(len(places), before, classified, bad_before + bad)


def _run(
    job: Job, missing: Sequence[sources.Place], count: int, progress: Progress
) -> tuple[int, int]:
    """Classify what is missing; returns how many could be and how many could not."""
    import ray
    from ray.exceptions import RayError

    size = min(_MOST_IMAGES, max(job.batch_size, -(-len(missing) // (_PARTS_EACH * count))))
    parts = [missing[at : at + size] for at in range(0, len(missing), size)]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = ray.data.from_items(
        [{"places": sources.written(part)} for part in parts],
        override_num_blocks=min(len(parts), _MOST_BLOCKS),
    )
    results = rows.map(
        Classifier,
        fn_constructor_args=(job,),
        compute=ray.data.ActorPoolStrategy(size=min(count, len(parts))),
        num_cpus=1,
        num_gpus=1 if job.device.startswith("cuda") else None,
    )
    classified = bad = 0
    progress("Classifying", 0, len(missing))
    try:
        for result in results.iter_rows():
            classified, bad = classified + result["classified"], bad + result["bad"]
            progress("Classifying", classified + bad, len(missing))
    except RayError as error:
        raise runtime.cause(error, LrnDeployError) or BadInputError(
            f"Ray has given up: {str(error).strip().splitlines()[-1]}",
            "What is done is kept; the same command goes on with the rest.",
        ) from error
    return classified, bad


def _told(bundle: Bundle, name: str, top: int, limits: ImageLimits) -> dict[str, str]:
    """What determines the results: a row that was made otherwise is another row."""
    manifest = bundle.manifest
    assert manifest.preprocessing is not None
    labels = "\n".join(class_labels(bundle) or ())
    rules = f"{manifest.preprocessing.model_dump_json()} {labels} {top} {limits}"
    return {
        "model": manifest.model.name,
        "artifact": name,
        "artifact_sha256": manifest.artifact(name).sha256,
        "rules_sha256": hashlib.sha256(rules.encode()).hexdigest(),
    }


def _free(kind: str) -> int:
    """How many CPUs or GPUs the cluster has."""
    import ray

    return max(1, int(ray.cluster_resources().get(kind, os.cpu_count() or 1)))
