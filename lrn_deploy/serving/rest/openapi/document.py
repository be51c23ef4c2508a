"""The description of a server as an OpenAPI 3.1 document."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

from lrn_deploy.serving.rest.openapi.operations import ABOUT, About
from lrn_deploy.serving.rest.openapi.schemas import SCHEMAS, schema
from lrn_deploy.serving.rest.routes import Route

Json = dict[str, Any]
_ERRORS = {
    400: "What was sent is nothing that a server could answer.",
    403: "This may not be done, by this page or with this key.",
    408: "Head or body did not come in time.",
    413: "Body, or what it unpacks to, is over the limit.",
    417: "An expectation other than 100-continue.",
    431: "The head is over the limit.",
    500: "The network failed, or this is a bug of the server's.",
    503: "Right, but not now: Retry-After says when.",
}
"""What any request can be answered with."""
_NO_KEY = "There is no key, or none that is taken."
_TOO_MANY = "The client or its key has sent too many; Retry-After says when the next is welcome."
_NOT_THERE = "There is no such model, version, region or file."
_PARAMETERS = {"version": {"type": "string", "pattern": "^[0-9]+$"}}
_PART: Json = {"type": "string", "minLength": 1}
_CHOICE = re.compile(r"\[([^\]]*)\]")


def document(routes: Iterable[Route], *, keys: bool) -> Json:
    """The description.

    Args:
        routes: All that there are.
        keys: Whether clients need keys.
    """
    paths: dict[str, Json] = {}
    for route in routes:
        for path in paths_of(route):
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, keys)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lrn-server",
            "version": "2",
            "description": "The Open Inference Protocol, version 2, and images to labels. HEAD is "
            "answered wherever GET is; another method than those of a path gets 405, which says "
            "them in Allow.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key that 'lrn-deploy keys add' has made.",
                }
            },
        },
    }


def paths_of(route: Route) -> list[str]:
    """A route's path with and without what may be left out of it."""
    pieces = _CHOICE.split(route.path)  # outside and inside of brackets, in turns
    choices = [[piece] if at % 2 == 0 else ["", piece] for at, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _operation(route: Route, path: str, keys: bool) -> Json:
    about = ABOUT[route.method, route.path]
    words = re.findall(r"\w+", path)
    last = ["slash"] if path.endswith("/") else []
    told: Json = {
        "operationId": "-".join([route.method.lower(), *words, *last]),
        "summary": about.summary,
        "parameters": _parameters(path, about),
        "responses": {
            "200": _answer("Done.", about.gives),
            **{str(status): _error(text) for status, text in sorted(_errors(route, path).items())},
            **{str(status): {"description": _ERRORS[status]} for status in about.bare},
            **{
                str(status): _error(text) if status >= 400 else {"description": text}
                for status, text in about.further.items()
            },
        },
    }
    if about.takes:
        told["requestBody"] = {"required": about.must, "content": about.takes}
    if keys:
        told["security"] = [{"key": [route.scope]}] if route.scope else []
    return told


def _parameters(path: str, about: About) -> list[Json]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS.get(name, _PART)}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    for place, more in (("query", about.query), ("header", about.headers)):
        found += [
            {"name": name, "in": place, "schema": kind, "description": text}
            for name, kind, text in more
        ]
    return found


def _errors(route: Route, path: str) -> dict[int, str]:
    """What this route can refuse with, by status."""
    found = dict(_ERRORS)
    if route.scope is not None:
        found |= {401: _NO_KEY, 429: _TOO_MANY}
    if "{" in path or route.works:
        found[404] = _NOT_THERE
    return found


def _answer(text: str, content: Json) -> Json:
    return {"description": text} | ({"content": content} if content else {})


def _error(text: str) -> Json:
    return _answer(text, {"application/json": {"schema": schema("Error")}})
