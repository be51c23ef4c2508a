"""Building in a process of its own: what comes back, and every way in which it can end."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.tensorrt import build, process, worker
from lrn_deploy.tensorrt.build import BuildRequest, BuiltEngine, build_engine
from lrn_deploy.tensorrt.flavor import Flavor
from lrn_deploy.tensorrt.process import build_in_process
from tests.support.engine_graphs import network

ADA = BuildRequest(targets=("sm89",), batch=(1, 2, 4))


@pytest.fixture(scope="module")
def told(rtx: Flavor) -> tuple[BuiltEngine, list[Any]]:
    """What a process of its own built, and the steps that it told."""
    steps: list[Any] = []
    built = build_in_process(rtx.name, network(), ADA, lambda *step: steps.append(step))
    return built, steps


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_all_that_is_known_comes_back(told: tuple[BuiltEngine, list[Any]]) -> None:
    built, steps = told
    assert built.data
    assert [layer.type for layer in built.layers].count("LRN") == 1
    assert built.profile == {"input": ((1, 3, 6, 6), (2, 3, 6, 6), (4, 3, 6, 6))}
    assert [(item.name, item.form) for item in built.lrn] == [("norm", "native")]
    assert built.timing_cache is None
    assert built.peak_memory is not None
    assert all(1 <= done <= total for _, done, total in steps)
    assert "Building engine" in {phase for phase, _, _ in steps}


@pytest.mark.tensorrt
def test_it_is_what_a_build_in_this_process_gives(
    rtx: Flavor, told: tuple[BuiltEngine, list[Any]]
) -> None:
    built, _ = told
    here = build_engine(rtx, network(), ADA)
    assert (built.layers, built.lrn, built.profile) == (here.layers, here.lrn, here.profile)


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_errors_keep_their_kind_and_their_hint() -> None:
    with pytest.raises(BadInputError, match="Turing") as caught:
        build_in_process("rtx", network(), BuildRequest(("sm75",), (1, 1, 1)))
    assert "--precision fp16" in caught.value.hint


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_it_builds_outside_the_main_thread(told: tuple[BuiltEngine, list[Any]]) -> None:
    built = [told[0].data]
    while len(built) < 3 and len(set(built)) == len(built):  # on a busy machine one may differ
        thread = threading.Thread(
            target=lambda: built.append(build_in_process("rtx", network(), ADA).data)
        )
        thread.start()
        thread.join()
    assert len(set(built)) < len(built)


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_ctrl_c_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    real = process.subprocess.Popen
    monkeypatch.setattr(
        process.subprocess,
        "Popen",
        lambda *words, **options: started.append(real(*words, **options)) or started[0],
    )

    def on_progress(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)  # the handler runs before this ends

    with pytest.raises(KeyboardInterrupt):
        build_in_process("rtx", network(), ADA, on_progress)
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_messages_of_the_builder_reach_pythons_logging(logged: list[str]) -> None:
    build_in_process("rtx", network(), ADA)
    assert any("Engine generation completed" in message for message in logged)


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("kill -9 $$", MissingError, "killed, most likely for want of memory"),
        ("echo oh dear >&2; kill -11 $$", BadInputError, r"crashed .*\(SIGSEGV\).*oh dear"),
        ("echo Traceback >&2; exit 1", RuntimeError, "ended with code 1.*Traceback"),
        ("cat >/dev/null; exit 0", RuntimeError, "ended with code 0"),
        ("""cat >/dev/null; printf '{"built": {}, "engine_size": 9, "cache_size": null}\\nx'""",
         RuntimeError, "ended with code 0"),
    ],
)  # fmt: skip
def test_a_process_that_ends_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], says: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(program))
    with pytest.raises(kind, match=says):
        build_in_process("rtx", network(), ADA)


# The worker's own code, run here.


def work(flavor: str, graph: bytes, **changes: Any) -> list[bytes]:
    job = {
        "targets": ["sm89"],
        "batch": [1, 2, 4],
        "tf32": False,
        "workspace": None,
        "plugins": False,
        "lrn_layer": True,
        "flavor": flavor,
        "graph_size": len(graph),
        "cache_size": None,
        "log": False,
    }
    channel = io.BytesIO()
    source = io.BytesIO(json.dumps(job | changes).encode() + b"\n" + graph)
    worker._work(source, channel, reproducible=True)
    return channel.getvalue().splitlines(keepends=True)


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_the_worker_tells_steps_then_what_was_built_then_the_bytes() -> None:
    lines = work("rtx", network())
    (index,) = (at for at, line in enumerate(lines) if line.startswith(b'{"built"'))
    assert all("step" in json.loads(line) for line in lines[:index])
    told = json.loads(lines[index])
    assert told["built"]["reproducible"] is True
    assert told["engine_size"] == len(b"".join(lines[index + 1 :]))


@pytest.mark.tensorrt
@pytest.mark.usefixtures("rtx")
def test_nothing_but_tensorrt_works_in_the_thread_that_builds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Python allocates there moves what TensorRT does, and that changes the engine's bytes."""
    threads: dict[str, threading.Thread] = {}

    def noting(name: str) -> None:
        real = getattr(build, name)

        def call(*words: Any, **options: Any) -> Any:
            threads[name] = threading.current_thread()
            return real(*words, **options)

        monkeypatch.setattr(build, name, call)

    for name in ("fit_graph", "read_layers"):
        noting(name)
    work("rtx", network(), lrn_layer=False)
    assert threads["fit_graph"] is threading.main_thread()
    assert threads["read_layers"] is not threading.main_thread()


def test_the_worker_tells_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from lrn_deploy.tensorrt import flavor

    flavor._installed.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    (line,) = work("tensorrt", network())
    assert json.loads(line)["error"] == {
        "kind": "MissingError",
        "message": "tensorrt is not installed.",
        "hint": f"Install it with: {install('tensorrt')}",
    }
