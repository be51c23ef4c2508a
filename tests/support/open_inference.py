"""What the Open Inference Protocol says of answers over HTTP, written down from its description.

The source is specification/protocol/open_inference_rest.yaml of the protocol's own repository
(commit 18d5991): the members of each object, their types, and which must be there.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

Schema = dict[str, Any]


def _object(must: str, **members: Schema) -> Schema:
    return {"type": "object", "properties": members, "required": must.split()}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_ERROR = _object("error", error=_TEXT)
_TENSOR = {
    "name": _TEXT,
    "shape": _list(_WHOLE),
    "datatype": _TEXT,
    "parameters": {"type": "object"},
    "data": _ref("tensor_data"),
}
SCHEMAS: dict[str, Schema] = {
    "metadata_server_response": _object(
        "name version extensions", name=_TEXT, version=_TEXT, extensions=_list(_TEXT)
    ),
    "metadata_server_error_response": _ERROR,
    "metadata_model_response": _object(
        "name platform",
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_list(_ref("metadata_tensor")),
        outputs=_list(_ref("metadata_tensor")),
    ),
    "metadata_tensor": _object(
        "name datatype shape", name=_TEXT, datatype=_TEXT, shape=_list(_WHOLE)
    ),
    "metadata_model_error_response": _ERROR,
    "inference_request": _object(
        "inputs",
        id=_TEXT,
        parameters={"type": "object"},
        inputs=_list(_object("name shape datatype data", **_TENSOR)),
        outputs=_list(_object("name", name=_TEXT, parameters={"type": "object"})),
    ),
    "tensor_data": _list(
        {
            "anyOf": [
                _ref("tensor_data"),
                {"type": "number"},
                {"type": "string"},
                {"type": "boolean"},
            ]
        }
    ),
    "inference_response": _object(
        "model_name outputs",
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters={"type": "object"},
        outputs=_list(_object("name shape datatype data", **_TENSOR)),
    ),
    "inference_error_response": _ERROR,
}


def faults(name: str, value: Any) -> list[str]:
    """Where a value is not what the protocol calls ``name``."""
    schema = _ref(name) | {"$defs": SCHEMAS}
    return [
        error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(value)
    ]
