"""The benchmark of TLS, with lrn-server alone, and behind nginx where that is installed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tls
from benchmarks.load import drive
from benchmarks.serve import bursts as bursts_module
from benchmarks.serve.networks import nothing

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.usefixtures("unmeasured", "forked_servers")


def test_the_same_server_is_measured_with_and_without_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursts_module, "_WARM_SECONDS", 0.1)
    certified = tls.certificate(tmp_path)
    bundle = nothing(tmp_path, floats=False)
    bursts = tls.measure(bundle, tmp_path, tls.ours(certified), rounds=1, seconds=0.1)
    assert len(bursts) == 2 * (len(tls.CONCURRENCIES) + 1)
    for burst in bursts:
        assert burst["answers"] > 0
        assert (burst["wrong"], burst["refused"]) == (0, {})
        assert burst["server_cpu_ms"] >= 0
    lines = tls.table(bursts)
    assert len(lines) == 4
    assert all("lrn-server " in line and "lrn-server+TLS " in line for line in lines)


def test_what_nginx_is_told_is_whole(tmp_path: Path) -> None:
    text = tls.NGINX.format(folder=tmp_path, inner=1, port=2, chain="c", key="k")
    assert text.count("{") == text.count("}") == 5
    assert "listen 127.0.0.1:2 ssl;" in text
    assert "server 127.0.0.1:1;" in text


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_nginx_speaks_tls_for_the_server_behind_it(tmp_path: Path) -> None:
    certified = tls.certificate(tmp_path)
    bundle = nothing(tmp_path, floats=False)
    row = np.full((1, 227, 227, 3), 7, np.uint8)
    with (
        tls.OURS.start(bundle, tmp_path, 1, 4) as inner,
        tls.behind_nginx(inner, tmp_path, certified) as server,
    ):
        load = drive(
            server.http_port,
            [tls.OURS.request(bundle, row)],
            connections=2,
            seconds=0.2,
            right=lambda _, body: body.endswith(b"\x07\x07\x07"),
            ca=certified.ca,
        )
        assert load.statuses[200] > 0
        assert (load.wrong, set(load.statuses)) == (0, {200})
        assert server.cpu_seconds() > inner.cpu_seconds()
        server.pause()
        used = server.cpu_seconds()
        time.sleep(0.1)
        assert server.cpu_seconds() == used  # both are stopped
        server.resume()
