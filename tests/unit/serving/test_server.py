"""How the parts of a server are put together."""

from __future__ import annotations

import asyncio

import pytest

from lrn_deploy.serving.errors import TooManyError
from lrn_deploy.serving.repository.repository import Repository
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.security.guards import Guards
from lrn_deploy.serving.server import _fronts
from lrn_deploy.serving.settings import ModelSettings, ServerSettings


def test_a_port_of_metrics_tells_what_the_others_refused() -> None:
    settings = ServerSettings(
        http_port=0, grpc_port=-1, metrics_port=0, rate_limit=0.001, access_log="none"
    )
    guards = Guards(settings, print)
    service, fronts = _fronts(Repository(ModelSettings()), settings, None, guards, print)
    service.admit_work(Request("POST", "/"), None)
    for _ in range(2):
        with pytest.raises(TooManyError):
            service.admit_work(Request("POST", "/"), None)
    assert fronts.metrics is not None
    for front in (fronts.http, fronts.metrics):
        response = asyncio.run(front.shared.handler.handle(Request("GET", "/metrics")))
        assert "lrn_rate_limited_requests 2" in response.body.decode().splitlines()
        front._socket.close()
