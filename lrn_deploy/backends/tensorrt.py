"""TensorRT engines on an NVIDIA GPU, without torch."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from lrn_deploy.backends.protocol import Array, Probe, SessionBase, check_feeds
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install
from lrn_deploy.tensorrt.device.cuda import Device, find_device
from lrn_deploy.tensorrt.device.run import EngineRunner
from lrn_deploy.tensorrt.fit import Machine, check_fit, record_of
from lrn_deploy.tensorrt.flavor import FlavorName, find_flavor
from lrn_deploy.tensorrt.targets import rtx_hint, rtx_refusal, rtx_refuses

_FLAVORS: tuple[FlavorName, ...] = ("tensorrt", "rtx")


class TensorRtBackend:
    """Runs engines of ``tensorrt`` and of ``tensorrt-rtx``, each with the one that built it.

    Args:
        device: ``cuda`` or ``cuda:N``.
        memory_limit: Most bytes of GPU memory that one engine may take; None for all that is free.
    """

    name = "tensorrt"
    formats = frozenset({"tensorrt", "tensorrt-rtx"})

    def __init__(self, device: str = "cuda", *, memory_limit: int | None = None) -> None:
        self.device = device
        self.memory_limit = memory_limit
        self._index = int(device.partition(":")[2] or 0)

    def probe(self) -> Probe:
        """Whether a TensorRT is installed and there is a GPU that it runs on."""
        versions = _installed_versions()
        if not versions:
            return Probe(
                False,
                None,
                "Neither tensorrt nor tensorrt-rtx is installed.",
                f"Install one of them: {install('rtx')}, or {install('tensorrt')}",
            )
        text = ", ".join(
            f"{'tensorrt-rtx' if name == 'rtx' else name} {version}"
            for name, version in versions.items()
        )
        try:
            device = find_device(self._index)
        except MissingError as error:
            return Probe(
                False, text, f"Engines can be built here, but not run: {error.message}", error.hint
            )
        detail = f"{device.name} ({device.sm})"
        rtx = versions.get("rtx")
        if rtx is None or not rtx_refuses(rtx, device.sm):
            return Probe(True, text, detail)
        refusal = rtx_refusal(rtx, device.name, device.sm)
        if "tensorrt" in versions:
            return Probe(True, text, f"{detail}; {refusal}")
        return Probe(False, text, f"Engines can be built here, but not run: {refusal}.", rtx_hint())

    def load(self, artifact: ArtifactData) -> TensorRtSession:
        """Make a session of an engine that fits this machine.

        Everything is checked against the engine's record before TensorRT sees its bytes.

        Raises:
            MissingError: If TensorRT, cuda-python or the GPU is not there.
            DamagedError: If the engine was built for something else, is refused, or is too large.
        """
        record = record_of(artifact)
        versions = _installed_versions()
        device = find_device(self._index)
        check_fit(artifact, _machine(versions, device))
        return TensorRtSession(
            EngineRunner(find_flavor(record.flavor), artifact, device, self.memory_limit)
        )


class TensorRtSession(SessionBase):
    """One engine loaded on one GPU; see :class:`lrn_deploy.tensorrt.device.run.EngineRunner`."""

    def __init__(self, runner: EngineRunner) -> None:
        self._runner = runner
        self.inputs = runner.inputs
        self.outputs = runner.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the engine; see :class:`lrn_deploy.backends.protocol.Session`.

        Raises:
            BadInputError: Also if the batch is outside the engine's profile.
        """
        check_feeds(self.inputs, feeds)
        return self._runner.run(feeds)

    def profile_layers(self, batch: int = 1) -> dict[str, float]:
        """Milliseconds of each layer, on the inputs of the last run."""
        return self._runner.profile_layers(batch)

    def time_on_device(self, batch: int, runs: int, *, graphs: bool = True) -> float:
        """Seconds that the GPU takes for one run of the network alone, of ``runs`` back to back.

        See :meth:`lrn_deploy.tensorrt.device.run.EngineRunner.time_on_device`.
        """
        return self._runner.time_on_device(batch, runs, graphs=graphs)

    def close(self) -> None:
        """Release the GPU's memory."""
        self._runner.close()


def _machine(versions: dict[FlavorName, str], device: Device) -> Machine:
    return Machine(
        versions=versions,
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        sm=device.sm,
        gpu=device.name,
        driver=device.driver,
        free_memory=device.free_memory,
    )


def _installed_versions() -> dict[FlavorName, str]:
    versions: dict[FlavorName, str] = {}
    for name in _FLAVORS:
        try:
            versions[name] = find_flavor(name).version
        except MissingError:
            continue
    return versions
