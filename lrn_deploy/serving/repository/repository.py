"""The models by name: load, replace, unload, and what to say about each.

A model is replaced by loading the new one beside the old one, warming it up, swapping, and letting
the old one finish what it has; so no request is lost, and one that fell into the gap goes to the
new one.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrn_deploy.bundle import Bundle
from lrn_deploy.errors import BadInputError, LrnDeployError
from lrn_deploy.serving.batching.job import Outcome
from lrn_deploy.serving.errors import (
    ClosedError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.loading import load_model
from lrn_deploy.serving.repository.model import VERSION, ServedModel
from lrn_deploy.serving.settings import ModelSettings


@dataclass
class _Slot:
    """One name: where its bundle is, what of it was asked for, and what became of it."""

    path: Path
    artifact: str = ""
    model: ServedModel | None = None
    state: str = "UNAVAILABLE"
    reason: str = "not loaded"


class Repository:
    """The models of one server. Thread-safe; loading and unloading are done one at a time.

    Args:
        settings: How each model is run and queued.
        drain_seconds: How long a model that is replaced or unloaded may take to finish.
    """

    def __init__(self, settings: ModelSettings, drain_seconds: float = 30) -> None:
        self.settings = settings
        self._drain_seconds = drain_seconds
        self._slots: dict[str, _Slot] = {}
        self._changing = threading.Lock()

    def add(self, path: Path, name: str = "", artifact: str = "") -> str:
        """Make a bundle known, without loading it; returns its name.

        Args:
            path: Its folder.
            name: Name that callers ask for; else the network's own, or the folder's if the
                manifest cannot be read, and behind it the artifact's.
            artifact: Name of the artifact to run; what suits the machine if empty.

        Raises:
            BadInputError: If two bundles would have one name.
        """
        if not name:
            try:
                name = Bundle.open(path).manifest.model.name
            except LrnDeployError:
                name = path.resolve().name
            name += f"-{artifact}" if artifact else ""
        if name in self._slots:
            raise BadInputError(
                f"'{self._slots[name].path}' and '{path}' would both be served as '{name}'.",
                f"Give one of them another name: {name}-2={path}",
            )
        self._slots[name] = _Slot(path, artifact)
        return name

    def load(self, name: str) -> None:
        """Load a model, or load it anew and swap.

        Raises:
            NotFoundError: If no bundle has this name.
            InvalidRequestError: If it cannot be loaded. One that was loaded before goes on.
        """
        slot = self._slot(name)
        with self._changing:
            old = slot.model
            try:
                new = load_model(slot.path, self.settings, name=name, artifact=slot.artifact)
            except LrnDeployError as error:
                if old is None:
                    slot.state, slot.reason = "UNAVAILABLE", str(error)
                raise InvalidRequestError(f"Failed to load '{name}': {error}") from error
            slot.model, slot.state, slot.reason = new, "READY", ""
            if old is not None:
                old.batcher.close(self._drain_seconds)

    def unload(self, name: str) -> None:
        """Take no more requests for a model, finish those there are, and release it.

        Raises:
            NotFoundError: If no bundle has this name.
        """
        slot = self._slot(name)
        with self._changing:
            model, slot.model = slot.model, None
            slot.state, slot.reason = "UNAVAILABLE", "unloaded"
            if model is not None:
                model.batcher.close(self._drain_seconds)

    def close(self, timeout: float) -> bool:
        """Finish and release everything; False if something was not finished in time."""
        limit = time.monotonic() + timeout
        finished = True
        for model in self.models():
            finished &= model.batcher.close(max(0.0, limit - time.monotonic()))
        return finished

    def get(self, name: str, version: str = "") -> ServedModel:
        """The model that serves ``name``.

        Raises:
            NotFoundError: If there is none, or not of this version.
            UnavailableError: If it is known but not loaded.
        """
        slot = self._slot(name)
        if version not in ("", VERSION):
            raise NotFoundError(
                f"Request for unknown model: '{name}' has no version {version}; it has {VERSION}."
            )
        if slot.model is None:
            raise UnavailableError(f"Model '{name}' is not ready: {slot.reason}")
        return slot.model

    def submit(
        self, name: str, version: str, call: InferRequest
    ) -> tuple[ServedModel, Future[Outcome]]:
        """Queue a request with whatever serves ``name`` now; see :meth:`ServedModel.submit`."""
        model = self.get(name, version)
        try:
            return model, model.submit(call)
        except ClosedError:
            model = self.get(name, version)  # replaced between the two lines
            return model, model.submit(call)

    def models(self) -> list[ServedModel]:
        """The models that are loaded."""
        return [slot.model for slot in self._slots.values() if slot.model is not None]

    def index(self, *, ready: bool = False) -> list[dict[str, Any]]:
        """The repository index: each name with its state and the reason for it.

        Args:
            ready: Only those that can answer.
        """
        entries = []
        for name, slot in self._slots.items():
            state, reason = slot.state, slot.reason
            if slot.model is not None and not slot.model.ready:
                state, reason = "UNAVAILABLE", "no instance is left that can run"
            if state == "READY" or not ready:
                entries.append({"name": name, "version": VERSION, "state": state, "reason": reason})
        return entries

    def _slot(self, name: str) -> _Slot:
        slot = self._slots.get(name)
        if slot is None:
            known = ", ".join(f"'{served}'" for served in self._slots) or "none"
            raise NotFoundError(
                f"Request for unknown model: '{name}' is not found; there is {known}."
            )
        return slot
