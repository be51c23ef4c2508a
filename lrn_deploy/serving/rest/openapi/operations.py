"""What each route is for, what it takes and what it gives, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrn_deploy.serving.page.occlusion import MOST_CELLS
from lrn_deploy.serving.rest.openapi.schemas import Schema, schema

Content = dict[str, Any]
_JSON, _BINARY = "application/json", "application/octet-stream"
_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"


@dataclass(frozen=True)
class About:
    """What stands in the description beside a route's path, method and errors.

    Attributes:
        summary: What it does.
        gives: The content of the answer 200; empty if it has none.
        takes: The content of the request; empty if it takes none.
        must: Whether the request may not be without.
        query: Parameters of the query: name, schema and meaning.
        headers: Headers of the request: name, schema and meaning.
        further: Other statuses than 200 and the errors of all: status and meaning.
        bare: Statuses among the errors whose answer may have no body.
    """

    summary: str
    gives: Content = field(default_factory=dict)
    takes: Content = field(default_factory=dict)
    must: bool = False
    query: tuple[tuple[str, Schema, str], ...] = ()
    headers: tuple[tuple[str, Schema, str], ...] = ()
    further: Mapping[int, str] = field(default_factory=dict)
    bare: tuple[int, ...] = ()


def _json(name: str) -> Content:
    return {_JSON: {"schema": schema(name)}}


_ANY: Content = {}
_FILE = {"image/*": _ANY, _BINARY: _ANY, "multipart/form-data": {"schema": schema("Image")}}
_FILES = _FILE | {"multipart/form-data": {"schema": schema("Images")}}
_TEXT: Schema = {"type": "string"}
_WHICH = ("model", _TEXT, "The model; may be left out if there is one only.")
_OFF = {501: "Shared memory is switched off."}
_MODEL = "/v2/models/{model}[/versions/{version}]"
_CONTROL = "/v2/repository/models/{model}"
_SHARED = "/v2/systemsharedmemory[/region/{region}]"
_REGION = "/v2/systemsharedmemory/region/{region}"

ABOUT: Mapping[tuple[str, str], About] = {
    ("GET", "/v2/health/live"): About("Whether the process is of any use", bare=(503,)),
    ("GET", "/v2/health/ready"): About("Whether requests should come here", bare=(503,)),
    ("GET", "/v2[/]"): About("What the server is and which extensions it has", _json("Server")),
    ("GET", "/v2/models/stats"): About("Statistics of all models", _json("Statistics")),
    ("GET", _MODEL): About("A model's inputs and outputs", _json("Model")),
    ("GET", _MODEL + "/ready"): About("Whether a model can answer", bare=(503,)),
    ("GET", _MODEL + "/config"): About(
        "A model's configuration, as Triton has it", _json("Config")
    ),
    ("GET", _MODEL + "/stats"): About("A model's statistics", _json("Statistics")),
    ("POST", _MODEL + "/infer"): About(
        "Run a model on tensors",
        _json("InferResponse") | {_BINARY: _ANY},
        _json("InferRequest") | {_BINARY: _ANY},
        must=True,
        headers=(
            (
                "Inference-Header-Content-Length",
                {"type": "integer", "minimum": 0},
                "Bytes of the JSON, which binary tensors follow; 0: the body is the one input.",
            ),
        ),
    ),
    ("POST", "/v2/repository/index"): About(
        "The models that are known, loaded or not", _json("Index"), _json("IndexRequest")
    ),
    ("POST", _CONTROL + "/load"): About(
        "Load a model, or load it anew",
        takes=_json("ControlRequest"),
        further={501: "Models are loaded without overrides."},
    ),
    ("POST", _CONTROL + "/unload"): About(
        "Unload a model once it has finished",
        takes=_json("ControlRequest"),
        further={501: "Models are unloaded without parameters."},
    ),
    ("GET", _SHARED + "/status"): About(
        "Regions of shared memory that are registered", _json("Regions"), further=_OFF
    ),
    ("POST", _REGION + "/register"): About(
        "Register a region of shared memory", takes=_json("Region"), must=True, further=_OFF
    ),
    ("POST", _SHARED + "/unregister"): About("Forget a region, or all", further=_OFF),
    ("POST", "/v1/classify"): About(
        "Images to labels",
        _json("Classes"),
        _FILES,
        must=True,
        query=(
            _WHICH,
            ("top", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Classes of each image."),
        ),
    ),
    ("POST", "/v1/embed"): About(
        "Images to the last hidden layer",
        _json("Embeddings") | {_BINARY: _ANY},
        _FILES,
        must=True,
        query=(_WHICH,),
    ),
    ("GET", "/v1/stats"): About(
        "Server-Sent Events, one a second, with what that second brought",
        {"text/event-stream": _ANY},
    ),
    ("GET", "/metrics"): About(
        "The counters, for Prometheus", {"text/plain; version=0.0.4; charset=utf-8": _ANY}
    ),
    ("GET", "/openapi.json"): About("This description", {_JSON: {"schema": {"type": "object"}}}),
    ("GET", "/v1/models/{model}/card"): About("What a model is, for people", _json("Card")),
    ("GET", "/v1/models/{model}/report"): About("The report of a model's bundle", {_HTML: _ANY}),
    ("POST", "/v1/models/{model}/occlude"): About(
        "How far the likeliest class falls where a part of the image is covered",
        _json("Occlusion"),
        _FILE,
        must=True,
        query=(
            ("grid", {"type": "integer", "minimum": 2, "maximum": MOST_CELLS}, "Parts of a side."),
        ),
    ),
    ("GET", "/"): About(
        "The page for browsers", {_HTML: _ANY}, further={304: "As it was; see If-None-Match."}
    ),
    ("GET", "/page/{file}"): About(
        "What the page is made of",
        dict.fromkeys((_HTML, "text/css; charset=utf-8", "image/svg+xml", _SCRIPT), _ANY),
        further={304: "As it was; see If-None-Match."},
    ),
}
"""By method and path; a test holds it to the routes, both ways."""
