"""Which TensorRT is found, and what is said when none can be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install
from lrn_deploy.tensorrt import flavor as module
from lrn_deploy.tensorrt.flavor import Flavor, find_flavor
from lrn_deploy.tensorrt.targets import RTX_TARGETS


class NoDriver:
    """As the Builder and Runtime of the full TensorRT without an NVIDIA driver."""

    def __init__(self, _logger: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")


def fake(**parts: Any) -> Any:
    return SimpleNamespace(__version__="11.4.0", ILogger=object, **parts)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    found = module._installed
    found.cache_clear()
    yield
    found.cache_clear()


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("choice", ["auto", "tensorrt", "rtx"])
def test_nothing_installed(choice: Any) -> None:
    with pytest.raises(MissingError, match="is not installed") as caught:
        find_flavor(choice)
    assert install("rtx" if choice == "auto" else choice) in caught.value.hint
    if choice == "auto":
        assert "tensorrt is not installed. tensorrt-rtx is not installed." in str(caught.value)


@pytest.mark.usefixtures("nothing")
def test_full_tensorrt_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake(Builder=NoDriver, Runtime=NoDriver))
    with pytest.raises(MissingError, match="cannot start without an NVIDIA GPU") as caught:
        find_flavor("tensorrt").start_builder()
    assert "--flavor rtx" in caught.value.hint
    with pytest.raises(MissingError, match="cannot start"):
        find_flavor("auto")
    with pytest.raises(MissingError, match="cannot start"):
        find_flavor("tensorrt").start_runtime()


@pytest.mark.usefixtures("nothing")
def test_auto_takes_rtx_where_the_full_one_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake(Builder=NoDriver))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake())
    assert find_flavor("auto").name == "rtx"


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize(("named", "name"), [(False, "tensorrt"), (True, "rtx")])
def test_auto_takes_the_full_one_unless_gpus_are_named(
    named: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake(Builder=lambda _: "builder"))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake())
    assert find_flavor("auto", named=named).name == name


@pytest.mark.usefixtures("nothing")
def test_the_full_one_builds_for_its_own_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake())
    flavor = find_flavor("tensorrt")
    flavor.check_targets(("current",))
    assert flavor.has_timing_cache
    with pytest.raises(BadInputError, match="only for the GPU that it runs on"):
        flavor.check_targets(("sm89",))


@pytest.mark.tensorrt
@pytest.mark.parametrize("target", ["sm90", "sm_89", "hopper", ""])
def test_an_unknown_target_lists_those_there_are(rtx: Flavor, target: str) -> None:
    with pytest.raises(BadInputError, match=f"no target '{target}'") as caught:
        rtx.check_targets(("sm89", target))
    assert "sm75, sm80, sm86, sm89, sm120, sm121, current, portable" in caught.value.hint


@pytest.mark.tensorrt
@pytest.mark.parametrize("target", ["current", "portable"])
def test_current_and_portable_cannot_be_combined(rtx: Flavor, target: str) -> None:
    rtx.check_targets((target,))
    with pytest.raises(BadInputError, match=f"'{target}' cannot be combined"):
        rtx.check_targets((target, "sm89"))


@pytest.mark.tensorrt
def test_portable_leaves_the_builders_own_targets(rtx: Flavor) -> None:
    builder = rtx.start_builder()
    own = builder.create_builder_config().num_compute_capabilities
    config = rtx.create_config(builder, targets=("portable",), tf32=False, workspace=None)
    assert config.num_compute_capabilities == own
    named = rtx.create_config(builder, targets=("sm86", "sm89"), tf32=False, workspace=None)
    assert named.num_compute_capabilities == 2


@pytest.mark.tensorrt
def test_a_target_that_the_builder_does_not_take_is_an_error(rtx: Flavor) -> None:
    config = SimpleNamespace(
        clear_flag=lambda _: None, set_compute_capability=lambda _capability, index: index == 0
    )
    builder = SimpleNamespace(create_builder_config=lambda: config)
    rtx.errors[:] = ["No slot."]
    with pytest.raises(BadInputError, match="does not take the target 'sm89': No slot"):
        rtx.create_config(builder, targets=("sm86", "sm89"), tf32=False, workspace=None)


@pytest.mark.tensorrt
def test_the_targets_are_those_that_this_version_has(rtx: Flavor) -> None:
    members = {name.lower() for name in rtx.trt.ComputeCapability.__members__}
    assert {*RTX_TARGETS, "current"} == members - {"none"}


@pytest.mark.tensorrt
def test_host_code_in_engines_stays_forbidden(rtx: Flavor) -> None:
    assert rtx.start_runtime().engine_host_code_allowed is False


def test_host_code_is_forbidden_whatever_a_version_allows_by_itself() -> None:
    open_ = SimpleNamespace(engine_host_code_allowed=True)
    runtime = Flavor("rtx", fake(Runtime=lambda _logger: open_)).start_runtime()
    assert runtime is open_
    assert runtime.engine_host_code_allowed is False
