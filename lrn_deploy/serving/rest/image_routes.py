"""``POST /v1/classify`` and ``POST /v1/embed``: images in, labels or embeddings out."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor

from lrn_deploy.images.decode import ImageLimits
from lrn_deploy.serving.errors import InvalidRequestError
from lrn_deploy.serving.http.message import BINARY, Response, json_response
from lrn_deploy.serving.repository.model import ServedModel
from lrn_deploy.serving.request import Request
from lrn_deploy.serving.rest import images
from lrn_deploy.serving.rest.multipart import files
from lrn_deploy.serving.rest.routes import Match, Route
from lrn_deploy.serving.service import Service


class ImageRoutes:
    """Classification and embedding of image files.

    Args:
        service: What runs them.
        workers: Where images are decoded.
    """

    def __init__(self, service: Service, workers: Executor) -> None:
        self.service = service
        self._workers = workers
        self._limits = ImageLimits(
            max_bytes=service.settings.max_body_bytes, max_pixels=service.settings.max_pixels
        )
        self.routes = [
            Route("POST", "/v1/classify", self._classify, "infer", works=True),
            Route("POST", "/v1/embed", self._embed, "infer", works=True),
        ]

    async def _classify(self, request: Request, _match: Match) -> Response:
        top = whole_number(request.query.get("top", str(images.DEFAULT_TOP)), "top")
        model = self._model(request)
        images.check_classes(model)
        ran = await self._run(request, model)
        return json_response(images.labelled(model, ran, top=top))

    async def _embed(self, request: Request, _match: Match) -> Response:
        model = self._model(request)
        embedding = model.required_embedding()
        ran = await self._run(request, model)
        if BINARY in request.headers.get("accept", ""):
            rows, content = images.embedded_raw(embedding, ran)
            headers = (
                ("content-type", BINARY),
                ("x-lrn-model", model.name),
                ("x-lrn-layer", embedding.layer),
                ("x-lrn-shape", f"{rows},{embedding.dimension}"),
            )
            return Response(200, headers, content)
        return json_response(images.embedded(model, embedding, ran))

    def _model(self, request: Request) -> ServedModel:
        name = request.query.get("model")
        if not name:
            names = [model.name for model in self.service.repository.models()]
            if len(names) != 1:
                raise InvalidRequestError(
                    f"Say which model: {request.path}?model=NAME; "
                    f"there is {', '.join(names) or 'none'}."
                )
            name = names[0]
        return self.service.model(name)

    async def _run(self, request: Request, model: ServedModel) -> images.Ran:
        """Decode all images of a request at the same time, and run those that are images.

        Raises:
            InvalidRequestError: If none is.
        """
        started = time.monotonic_ns()
        sent = files(
            request.headers.get("content-type", ""),
            bytes(request.body),
            self.service.settings.max_images,
        )
        loop = asyncio.get_running_loop()
        prepared = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._workers, images.prepare, model, name, content, self._limits
                )
                for name, content in sent
            )
        )
        decoded = time.monotonic_ns()
        futures = []
        try:
            for image in prepared:
                if image.asked is not None:
                    futures.append(self.service.infer(request, model.name, "", image.asked)[1])
            outcomes = await asyncio.gather(*(asyncio.wrap_future(future) for future in futures))
        except BaseException:
            images.cancel(futures)
            raise
        if not outcomes:
            raise InvalidRequestError("; ".join(image.entry["error"] for image in prepared))
        request.timings.extend(outcome.timing for outcome in outcomes)
        return images.Ran(prepared, outcomes, started, decoded)


def whole_number(text: str, name: str, least: int = 1, most: int = 10_000) -> int:
    """A number of the query.

    Args:
        text: As it stands there.
        name: What it is called there.
        least: Smallest one that it may be.
        most: Largest one.

    Raises:
        InvalidRequestError: If it is none, or out of range.
    """
    known = text.isascii() and text.isdecimal() and len(text) < 10
    if not known or not least <= int(text) <= most:
        raise InvalidRequestError(f"'{name}' must be from {least} to {most}, got '{text[:20]}'.")
    return int(text)
