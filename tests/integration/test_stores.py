"""Bundles in a real S3 store: there and back, and everything that can be wrong with it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.bundle import Bundle
from lrn_deploy.cli import run
from lrn_deploy.errors import (
    BadInputError,
    CannotWriteError,
    DamagedError,
    LrnDeployError,
    MissingError,
)
from lrn_deploy.stores import fetch, local_bundle, pull, push, remote
from tests.support.digits_bundle import digits_bundle
from tests.support.fetched import came, fetching, files, leftovers, names
from tests.support.free_ports import free_ports
from tests.support.object_store import BUCKET, CLOSED, SECRET, ObjectStore, object_store
from tests.support.servers import serving
from tests.support.slow_link import Link, slow_link

pytestmark = pytest.mark.usefixtures("unmeasured")  # the tests of the parts go through all of it
BULK = 3 * 2**20  # bytes of a file that makes a bundle take its time


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The digits, with labels that are as large as a real network's weights."""
    made = digits_bundle(tmp_path_factory.mktemp("made") / "digits")
    noise = np.random.default_rng(0).bytes(BULK)
    record = made.add_file("bulk.bin", noise)
    model = made.manifest.artifacts["model"]
    return made.add_artifact("model", model.model_copy(update={"companions": (record,)}))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The digits as they are, for what is pushed by each test itself."""
    return digits_bundle(tmp_path_factory.mktemp("made") / "digits")


@pytest.fixture(scope="module")
def pushed(store: ObjectStore, bundle: Bundle) -> str:
    """Its URL, where nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        return push(bundle.path, f"s3://{BUCKET}/kept/digits").url


@pytest.fixture(autouse=True)
def cache(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and the team's credentials."""
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRN_DEPLOY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def through(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Link]:
    """The store behind a link that counts, and can be made slow."""
    with slow_link(store.port) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{link.port}")
        yield link


def put(store: ObjectStore, url: str, name: str, data: bytes) -> None:
    store.files.pipe_file(f"{url.removeprefix('s3://')}/{name}", data)


def pushed_to(bundle: Bundle, name: str) -> str:
    return push(bundle.path, f"s3://{BUCKET}/{name}").url


def test_a_bundle_goes_there_and_back(bundle: Bundle, pushed: str, tmp_path: Path) -> None:
    assert pushed == f"s3://{BUCKET}/kept/digits"
    back = pull(pushed, tmp_path / "back")
    assert files(back.path) == files(bundle.path)
    folder = local_bundle(pushed)
    assert files(folder) == files(bundle.path)
    assert Bundle.open(folder).manifest == bundle.manifest


def test_a_second_time_only_the_manifest_is_fetched(
    bundle: Bundle, pushed: str, through: Link, cache: Path
) -> None:
    first = local_bundle(pushed)
    assert sorted(set(names(through.paths()))) == [
        "bulk.bin",
        "labels.txt",
        "manifest.json",
        "model.onnx",
    ]
    through.asked.clear()
    assert local_bundle(pushed) == first
    assert names(through.paths()) == ["manifest.json"]
    through.asked.clear()
    digest = hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()
    assert local_bundle(f"{pushed}#sha256={digest}") == first
    assert through.paths() == []  # what is pinned and here is asked of nobody
    assert leftovers(cache) == []


def test_the_same_files_of_another_bundle_are_not_fetched_again(
    small: Bundle, through: Link
) -> None:
    local_bundle(pushed_to(small, "twin-a"))
    other = pushed_to(small, "twin-b")
    through.asked.clear()
    local_bundle(other)
    assert names(through.paths()) == ["manifest.json"]


def test_another_manifest_than_was_pinned_is_refused(pushed: str, cache: Path) -> None:
    with pytest.raises(DamagedError, match="not the one that was asked for") as caught:
        local_bundle(f"{pushed}#sha256={'0' * 64}")
    assert caught.value.exit_code == 4
    assert not cache.exists()


def test_wrong_bytes_are_refused_and_not_kept(
    store: ObjectStore, small: Bundle, cache: Path
) -> None:
    url = pushed_to(small, "wrong")
    model = (small.path / "model.onnx").read_bytes()
    put(store, url, "model.onnx", model[:-1] + b"\0")
    with pytest.raises(DamagedError, match=r"model.onnx' is not the file of its bundle: its SHA"):
        local_bundle(url)
    assert leftovers(cache) == []
    assert not (cache / "bundles").exists()
    put(store, url, "model.onnx", model)
    assert files(local_bundle(url)) == files(small.path)


@pytest.mark.parametrize(
    ("harm", "kind", "said"),
    [
        ("no manifest", BadInputError, "has no manifest.json"),
        ("no model", DamagedError, "'model.onnx' of .* is not there, though its manifest names it"),
        ("short model", DamagedError, "it has 1000 bytes, its manifest says"),
    ],
)
def test_half_an_upload_is_told_as_what_it_is(
    store: ObjectStore,
    small: Bundle,
    cache: Path,
    harm: str,
    kind: type[LrnDeployError],
    said: str,
) -> None:
    url = pushed_to(small, harm.replace(" ", "-"))
    if harm == "short model":
        put(store, url, "model.onnx", (small.path / "model.onnx").read_bytes()[:1000])
    else:
        name = "manifest.json" if harm == "no manifest" else "model.onnx"
        store.files.rm_file(f"{url.removeprefix('s3://')}/{name}")
    with pytest.raises(kind, match=said) as caught:
        local_bundle(url)
    assert "lrn-deploy push" in caught.value.hint
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("url", "change", "code", "said"),
    [
        (
            f"s3://{BUCKET}/kept/digits",
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            3,
            "There are no credentials",
        ),
        (
            f"s3://{BUCKET}/kept/digits",
            {"AWS_SECRET_ACCESS_KEY": "t0p-s3cr3t"},
            2,
            "the secret key is not that of the access key",
        ),
        (
            f"s3://{BUCKET}/kept/digits",
            {"AWS_ACCESS_KEY_ID": "nobody"},
            2,
            "the store knows no such access key",
        ),
        (f"s3://{BUCKET}/kept/digits", {"AWS_PROFILE": "none"}, 3, "no credentials"),
        (f"s3://{CLOSED}/digits", {}, 2, "The store forbids to read"),
        ("s3://nowhere/digits", {}, 2, "forbids|no bucket 'nowhere'"),
        (f"s3://{BUCKET}/kept/digit", {}, 2, "is no bundle: it has no manifest.json"),
        (
            f"s3://{BUCKET}/kept/digits",
            {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"},
            3,
            "cannot be reached",
        ),
        (
            f"s3://{BUCKET}/kept/digits",
            {"AWS_ENDPOINT_URL": "http://nowhere.invalid"},
            3,
            "cannot be reached",
        ),
        ("s3://Not_A_Bucket!/x", {}, 2, "cannot be the name of a bucket"),
    ],
)
@pytest.mark.usefixtures("pushed")
def test_each_refusal_is_a_sentence(
    url: str,
    change: dict[str, str | None],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in change.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert run(["inspect", url]) == code
    err = capsys.readouterr().err
    error, hint = err.splitlines()[:2]
    assert error.startswith("Error: ")
    assert re.search(said, error), error
    assert hint.startswith("Hint: ")
    assert SECRET not in err
    assert "t0p-s3cr3t" not in err
    assert "Traceback" not in err


def test_an_administrator_is_told_that_a_bucket_is_not_there(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.environment(key="admin", secret="admin-secret").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInputError, match="There is no bucket 'nowhere'"):
        local_bundle("s3://nowhere/digits")


def test_a_slow_link_shows_how_far_it_is_and_is_not_given_up(
    pushed: str, through: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SILENCE_SECONDS", 0.4)
    monkeypatch.setattr(fetch, "_MIB", 1)
    through.rate = 3e6
    told: list[tuple[str, int, int]] = []
    began = time.monotonic()
    local_bundle(pushed, lambda *step: told.append(step))
    assert time.monotonic() - began > 2 * 0.4
    bulk = [done for what, done, _ in told if what == "fetching bulk.bin"]
    assert len(bulk) > 4
    assert bulk == sorted(bulk)
    assert told[-1][1] == told[-1][2] >= BULK


def test_silence_is_given_up_and_what_came_is_kept(
    bundle: Bundle, pushed: str, through: Link, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SILENCE_SECONDS", 0.4)
    through.silent_after = 1_500_000
    with pytest.raises(MissingError, match="said nothing for"):
        local_bundle(pushed)
    kept = came(cache)
    assert 200_000 < kept < BULK
    through.silent_after, before = -1, through.carried
    assert files(local_bundle(pushed)) == files(bundle.path)
    assert through.carried - before < BULK - kept + 600_000  # with the smaller files and the heads
    assert leftovers(cache) == []


def test_a_connection_that_breaks_once_is_not_noticed(
    bundle: Bundle, pushed: str, through: Link
) -> None:
    through.cut_after = 1_000_000

    def mend() -> None:
        while through.carried < 1_000_000:
            time.sleep(0.01)
        time.sleep(0.1)
        through.cut_after = -1

    thread = threading.Thread(target=mend)
    thread.start()
    assert files(local_bundle(pushed)) == files(bundle.path)
    thread.join()


def test_killed_midway_it_goes_on_where_it_was(
    bundle: Bundle, pushed: str, through: Link, cache: Path
) -> None:
    through.rate = 2e6
    process = fetching(pushed)

    while came(cache) < 500_000:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept, through.rate = came(cache), 0.0
    assert not (cache / "bundles").exists()
    time.sleep(0.1)
    before = through.carried
    assert files(local_bundle(pushed)) == files(bundle.path)
    assert through.carried - before < BULK - kept + 700_000
    assert leftovers(cache) == []


def test_two_processes_at_once_fetch_each_file_once(
    bundle: Bundle, pushed: str, through: Link, cache: Path
) -> None:
    through.rate = 4e6
    both = [fetching(pushed), fetching(pushed)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert files(Path(said[0])) == files(bundle.path)
    total = sum(len(data) for data in files(bundle.path).values())
    assert through.carried < total + 100_000
    assert leftovers(cache) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """The kernel refuses to write more than 1 MiB, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_fills_up_leaves_nothing_half_written(pushed: str, cache: Path) -> None:
    with pytest.raises(CannotWriteError, match="Cannot keep what is fetched") as caught:
        local_bundle(pushed)
    assert caught.value.exit_code == 5
    assert "LRN_DEPLOY_CACHE" in caught.value.hint
    assert leftovers(cache) == []
    assert not (cache / "bundles").exists()


def test_too_small_a_disk_is_told_before_anything_is_fetched(
    pushed: str, through: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrn_deploy.stores.cache.Cache.free", lambda _: 1_000_000)
    with pytest.raises(CannotWriteError, match=r"needs 3\.\d MB in .* which has 1.0 MB left"):
        local_bundle(pushed)
    assert names(through.paths()) == ["manifest.json"]


def test_the_bucket_of_others_takes_nothing(small: Bundle) -> None:
    with pytest.raises(BadInputError, match="The store forbids to"):
        push(small.path, f"s3://{CLOSED}/digits")


def test_a_server_serves_what_the_store_has(bundle: Bundle, pushed: str) -> None:
    """Under a name of its own, one artifact of it, and beside one that cannot be had."""
    before = files(bundle.path)
    with serving(
        f"mine={pushed}:model", f"s3://{BUCKET}/not-there", env=dict(os.environ)
    ) as running:
        assert running.ports["models"] == ["mine"]
        image = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.5] * 64}
        reply = running.call(
            "POST", "/v2/models/mine/infer", json.dumps({"inputs": [image]}).encode()
        )
        assert reply.status == 200
        assert len(reply.content["outputs"][0]["data"]) == 10
        assert "is no bundle" in running.said()
    assert files(bundle.path) == before


def test_commands_that_read_take_a_url(
    pushed: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", pushed, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["model"]["name"] == "digits"
    assert leftovers(cache) == []
