"""What the page at ``/`` is made of: its files, the card of a model, and where a network looks.

What does it all is imported when it is first asked for: a server that nobody looks at starts
without.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrn_deploy.errors import BadInputError
from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.serving.batching.delivery import outcome_of
from lrn_deploy.serving.errors import InferenceError, InvalidRequestError, NotFoundError
from lrn_deploy.serving.http.message import Response, json_response
from lrn_deploy.serving.inference import InferRequest
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest import images
from lrn_deploy.serving.rest.compression import coding
from lrn_deploy.serving.rest.image_routes import whole_number
from lrn_deploy.serving.rest.multipart import files
from lrn_deploy.serving.rest.routes import Match, Route
from lrn_deploy.serving.service import Service
from lrn_deploy.workflows.classify import image_preprocessing, to_probabilities

if TYPE_CHECKING:
    from lrn_deploy.serving.page.occlusion import Study

_MODEL = "/v1/models/{model}"
_GRID = 8
_REPORT_HEADERS = (
    ("content-type", "text/html; charset=utf-8"),
    # The report brings its own style and needs nothing else; nothing in it may run.
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)


class PageRoutes:
    """The page, unless it is switched off, and what it asks for beside inference.

    Args:
        service: What has the models and runs them.
        workers: Where files are read and images decoded.
    """

    def __init__(self, service: Service, workers: Executor) -> None:
        self.service = service
        self._workers = workers
        self._limits = ImageLimits(
            max_bytes=service.settings.max_body_bytes, max_pixels=service.settings.max_pixels
        )
        self.routes = [
            Route("GET", _MODEL + "/card", self._card, "model"),
            Route("GET", _MODEL + "/report", self._report, "model"),
            Route("POST", _MODEL + "/occlude", self._occlude, "infer", works=True),
        ]
        if service.settings.page:
            self.routes += [
                Route("GET", "/", self._file, "page"),
                Route("GET", "/page/{file}", self._file, "page"),
            ]

    async def _file(self, request: Request, match: Match) -> Response:
        from lrn_deploy.serving.page import assets

        name = match.groupdict().get("file", assets.INDEX)
        if name not in assets.TYPES:
            raise NotFoundError(f"The page has no file '{name[:200]}'.")
        return assets.asset(
            name,
            packed=coding(request.headers.get("accept-encoding", "")) == "gzip",
            known=request.headers.get("if-none-match", ""),
        )

    async def _card(self, _request: Request, match: Match) -> Response:
        from lrn_deploy.serving.page.card import card

        model = self.service.model(match["model"])
        return json_response(await self._work(card, model, self.service.settings))

    async def _report(self, _request: Request, match: Match) -> Response:
        from lrn_deploy.serving.page.card import REPORT

        model = self.service.model(match["model"])
        try:
            content = await self._work((model.bundle.path / REPORT).read_bytes)
        except OSError as error:
            raise NotFoundError(
                f"The bundle of '{model.name}' has no report; 'lrn-deploy report' draws one."
            ) from error
        return Response(200, _REPORT_HEADERS, content)

    async def _occlude(self, request: Request, match: Match) -> Response:
        """How far the likeliest class falls where a part of the image is covered."""
        from lrn_deploy.serving.page.occlusion import MOST_CELLS, study

        started = time.monotonic_ns()
        model = self.service.model(match["model"])
        images.check_classes(model)
        cells = whole_number(request.query.get("grid", str(_GRID)), "grid", 2, MOST_CELLS)
        try:
            preprocessing = image_preprocessing(model.bundle.manifest)
        except BadInputError as error:
            raise InvalidRequestError(str(error)) from error
        ((name, content),) = files(
            request.headers.get("content-type", ""), bytes(request.body), max_files=1
        )
        subject = await self._work(study, content, name, preprocessing, cells, self._limits)
        decoded = time.monotonic_ns()
        probabilities, batches = await self._probabilities(request, model, subject)
        best = int(probabilities[0].argmax())
        drops = (probabilities[0, best] - probabilities[1:, best]).reshape(cells, cells)
        left, top, width, height = subject.region
        return json_response(
            {
                "model": model.name,
                "class": {
                    "index": best,
                    "label": model.labels[best] if model.labels else None,
                    "probability": float(probabilities[0, best]),
                },
                "drops": drops.tolist(),
                "region": {"left": left, "top": top, "width": width, "height": height},
                "rows": subject.rows,
                "batches": batches,
                "timing": {
                    "decode_ms": (decoded - started) / 1e6,
                    "total_ms": (time.monotonic_ns() - started) / 1e6,
                },
            }
        )

    async def _probabilities(
        self, request: Request, model: ServedModel, subject: Study
    ) -> tuple[NDArray[np.float64], int]:
        """The probabilities of all images, and how many batches they took.

        One batch after the other, as large as the model takes: other callers' requests come in
        between, and no more than one batch is in memory.
        """
        spec, scores = model.inputs[0], []
        for start in range(0, subject.rows, model.max_batch):
            numbers = range(start, min(start + model.max_batch, subject.rows))
            rows = model.fixed_batch or len(numbers)
            array = await self._work(subject.inputs, numbers, spec, rows)
            _, future = self.service.infer(
                request, model.name, "", InferRequest({spec.name: array})
            )
            outcome = await outcome_of(future)
            request.timings.append(outcome.timing)
            output = outcome.outputs[model.outputs[0].name]
            scores.append(output[: len(numbers)].reshape(len(numbers), -1))
        probabilities = to_probabilities(np.concatenate(scores))
        if np.isnan(probabilities).any():
            raise InferenceError("The network's output is not finite.")
        return probabilities, len(scores)

    async def _work(self, act: Any, *arguments: Any) -> Any:
        """What a function gives, run where it does not keep others waiting."""
        return await asyncio.get_running_loop().run_in_executor(
            self._workers, partial(act, *arguments)
        )
