from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.support import threads
from tests.support.exporter import leave_it_untraced, make_its_tables_once
from tests.support.tracing import import_under, traced_by

# A machine that runs two workers under coverage is slow at times: that is no failure. In continuous
# integration every run tries the same examples, elsewhere each run tries new ones.
settings.register_profile("lrn-deploy", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lrn-deploy")

# What a library logs goes nowhere, and not to stderr, which is what a program says.
logging.getLogger().addHandler(logging.NullHandler())

BESIDE_OTHERS = bool(os.environ.get("PYTEST_XDIST_WORKER"))
if BESIDE_OTHERS:
    threads.use_one()

# A shell starts what it runs in the background with Ctrl-C ignored, and so would all our children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Imports, most of it: of their lines the package's count, and hardly any object is let go."""
    tracer = sys.gettrace()
    gc.disable()
    sys.settrace(None)
    import_under(tracer)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        gc.enable()


def pytest_collection_finish() -> None:
    """What the imports left stays to the end, so the collector need not go through it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    seed_what_draws_at_random()
    make_its_tables_once()
    leave_it_untraced()
    if BESIDE_OTHERS:
        threads.use_one_in_onnxruntime()


def seed_what_draws_at_random() -> None:
    """The weights of a module that a test makes, say: the same in every run and in any order."""
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.manual_seed(0)  # without a note for each GPU that may yet come
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Of what pytest does for a test, fixtures and the test itself are traced, and nothing else."""
    global _tracer
    _tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(_tracer)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Iterator[None]:
    if "unmeasured" in request.fixturenames:
        return (yield from without_threads())
    return (yield from traced())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Of a property's hundred examples the test is traced, and what draws them is not."""
    if "unmeasured" in pyfuncitem.fixturenames:
        return (yield from without_threads())
    given: Any = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is None or _tracer is None:
        return (yield from traced())
    test = given.inner_test
    given.inner_test = traced_by(_tracer, test)
    try:
        return (yield)
    finally:
        given.inner_test = test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    return (yield from traced())


_tracer: Any = None
"""Coverage's, if it measures."""


def traced() -> Generator[None, Any, Any]:
    sys.settrace(_tracer)
    try:
        return (yield)
    finally:
        sys.settrace(None)


def without_threads() -> Generator[None, Any, Any]:
    of_threads = threading.gettrace()
    threading.settrace(None)  # type: ignore[arg-type] # which takes them all away
    try:
        return (yield)
    finally:
        threading.settrace(of_threads)  # type: ignore[arg-type] # the same


@pytest.fixture(scope="module")
def brisk() -> Iterator[None]:
    """Times that only have to be taken, not to be right: hardly a rest between, a short warm-up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrn_deploy.latency.sampling.REST", 0.001)
        patch.setattr("lrn_deploy.latency.sampling.WARMUP_MAX_SECONDS", 0.2)
        patch.setattr("lrn_deploy.latency.floor._TRIES", 2)
        patch.setattr("lrn_deploy.latency.floor._BUFFER", 16 << 20)
        yield


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """What other tests measure, too: neither the test nor its processes are traced for coverage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
