"""An engine that does not fit a machine is refused with its own sentence and command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lrn_deploy.errors import BadInputError, DamagedError, MissingError
from lrn_deploy.tensorrt.fit import (
    Machine,
    check_fit,
    check_memory,
    check_run_batch,
    rebuild_command,
    record_of,
)
from tests.support.engine_graphs import engine_artifact, engine_record

MACHINE = Machine(
    versions={"rtx": "1.7.1"},
    platform="linux-x86_64",
    sm="sm89",
    gpu="RTX 4090",
    driver="580.65.06",
    free_memory=10**10,
)
REBUILD = (
    "lrn-deploy build-engine 'my bundles/alexnet' --flavor rtx --precision fp16 "
    "--target sm89 --batch 1,4,8"
)


def test_the_same_machine_fits() -> None:
    check_fit(engine_artifact(), MACHINE)


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        (replace(MACHINE, versions={"rtx": "1.8.0"}), "built by tensorrt-rtx 1.7.1, and 1.8.0"),
        (replace(MACHINE, platform="windows-amd64"), "for linux-x86_64, and this is windows-amd64"),
        (replace(MACHINE, driver="575.51"), "driver 580.65.06, and this machine has the older"),
    ],
)
def test_each_mismatch_has_its_sentence_and_the_command(machine: Machine, says: str) -> None:
    with pytest.raises(DamagedError, match=says) as caught:
        check_fit(engine_artifact(), machine)
    assert caught.value.hint.endswith(REBUILD)
    assert caught.value.exit_code == 4


def test_another_gpu() -> None:
    with pytest.raises(DamagedError, match=r"for sm86, sm89, and this machine's B200 is sm120"):
        check_fit(engine_artifact(), replace(MACHINE, sm="sm120", gpu="B200"))


def test_a_gpu_that_rtx_has_not_needs_the_full_tensorrt() -> None:
    with pytest.raises(DamagedError) as caught:
        check_fit(engine_artifact(), replace(MACHINE, sm="sm90", gpu="H100"))
    assert "--flavor tensorrt --precision fp16 --target current" in caught.value.hint


HOPPER = replace(MACHINE, sm="sm90", gpu="H100")
CURRENT_RTX = "--flavor rtx --precision fp16 --target current"


def test_an_older_rtx_builds_for_a_gpu_without_a_name_as_the_one_that_is_there() -> None:
    older = replace(HOPPER, versions={"rtx": "1.6.1.120"})
    with pytest.raises(DamagedError, match=r"1\.7\.1, and 1\.6\.1\.120 is installed") as caught:
        check_fit(engine_artifact(), older)
    assert CURRENT_RTX in caught.value.hint
    record = engine_record(version="1.6.1.120", targets=("sm90",))
    check_fit(engine_artifact(record), older)
    assert CURRENT_RTX in rebuild_command(engine_artifact(record))
    assert CURRENT_RTX in rebuild_command(engine_artifact(record), "sm90")


@pytest.mark.parametrize("targets", [("sm90",), ("portable",)])
def test_an_rtx_that_refuses_a_gpu_runs_nothing_there(targets: tuple[str, ...]) -> None:
    with pytest.raises(DamagedError, match=r"1\.7\.1 does not run on this machine's H100") as it:
        check_fit(engine_artifact(engine_record(targets=targets)), HOPPER)
    assert "--flavor tensorrt --precision fp16 --target current" in it.value.hint


@pytest.mark.parametrize("sm", ["sm75", "sm89", "sm121", "sm130"])
def test_a_portable_engine_fits_any_gpu_and_stays_one(sm: str) -> None:
    artifact = engine_artifact(engine_record(targets=("portable",)))
    check_fit(artifact, replace(MACHINE, sm=sm))
    for command in (rebuild_command(artifact), rebuild_command(artifact, sm)):
        assert "--flavor rtx --precision fp16 --target portable" in command


@pytest.mark.parametrize("versions", [{}, {"tensorrt": "11.0"}])
def test_the_tensorrt_that_it_needs_is_not_installed(versions: dict[str, str]) -> None:
    with pytest.raises(MissingError, match=r"needs tensorrt-rtx 1\.7\.1, which is not") as caught:
        check_fit(engine_artifact(), replace(MACHINE, versions=versions))  # type: ignore[arg-type]
    assert caught.value.hint == "Install it with: pip install tensorrt-rtx==1.7.1"


@pytest.mark.parametrize(
    ("built", "here"), [(None, "575.1"), ("580.65", None), ("580.65", "580.65.1"), ("99.1", "580")]
)
def test_a_newer_or_unknown_driver_fits(built: str | None, here: str | None) -> None:
    check_fit(engine_artifact(engine_record(driver=built)), replace(MACHINE, driver=here))


def test_an_engine_without_a_record() -> None:
    with pytest.raises(DamagedError, match="does not say what"):
        record_of(replace(engine_artifact(), engine=None))


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_batches_of_the_profile_run(batch: int) -> None:
    check_run_batch(engine_artifact(), batch)


@pytest.mark.parametrize(("batch", "wider"), [(9, "1,4,9"), (0, "1,4,8"), (100, "1,4,100")])
def test_a_batch_outside_the_profile(batch: int, wider: str) -> None:
    with pytest.raises(BadInputError, match=f"batches of 1 to 8, got {batch}") as caught:
        check_run_batch(engine_artifact(), batch)
    assert caught.value.hint.endswith(f"--batch {wider}")
    assert "--target sm86 --target sm89" in caught.value.hint


@pytest.mark.parametrize(
    ("needed", "free", "limit", "says"),
    [
        (3 << 20, 2 << 20, None, "needs 3 MiB of GPU memory, and 2 MiB are free"),
        (3 << 20, 9 << 20, 1 << 20, "needs 3 MiB of GPU memory, and 1 MiB are allowed"),
        (3 << 20, 2 << 20, 5 << 20, "2 MiB are free"),
    ],
)
def test_not_enough_memory(needed: int, free: int, limit: int | None, says: str) -> None:
    with pytest.raises(DamagedError, match=says) as caught:
        check_memory(engine_artifact(), needed, free, limit)
    assert caught.value.hint.endswith("--batch 1,4,4")


@pytest.mark.parametrize("limit", [None, 3 << 20, 9 << 20])
def test_enough_memory(limit: int | None) -> None:
    check_memory(engine_artifact(), 3 << 20, 4 << 20, limit)


def test_the_full_tensorrt_rebuilds_for_the_gpu_that_is_there() -> None:
    artifact = engine_artifact(engine_record(flavor="tensorrt", targets=("sm90",)))
    assert "--flavor tensorrt --precision fp16 --target current" in rebuild_command(artifact)


def test_smaller_batches_are_no_smaller_than_the_smallest() -> None:
    artifact = engine_artifact(engine_record(batch=(3, 4, 5)))
    with pytest.raises(DamagedError) as caught:
        check_memory(artifact, 2 << 20, 1 << 20, None)
    assert caught.value.hint.endswith("--batch 3,3,3")  # half of 5 is 2, which is no profile
    check_memory(artifact, 1 << 20, 1 << 20, None)  # what is needed is what is free
