"""The JSON that requests and answers are made of, as JSON Schema (2020-12)."""

from __future__ import annotations

from typing import Any

from lrn_deploy.datatypes import NUMPY

Schema = dict[str, Any]


def schema(name: str) -> Schema:
    """A reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(_may: dict[str, Schema] | None = None, /, **must: Schema) -> Schema:
    """An object: what it always has, and what it may have."""
    told: Schema = {"type": "object", "properties": must | (_may or {})}
    return told | ({"required": list(must)} if must else {})


def _list(item: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": item, **more}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_ANY: Schema = {}
_FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SIGNED: Schema = {"type": "integer"}
_DATATYPE: Schema = {"type": "string", "enum": list(NUMPY)}
_DATA = _list({"anyOf": [schema("Data"), _NUMBER, _TEXT, _FLAG]})
_PLACE = {
    "shared_memory_region": _TEXT,
    "shared_memory_offset": _COUNT,
    "shared_memory_byte_size": _COUNT,
}
_DURATION = schema("Duration")
_COMPUTE = {f"compute_{part}": _DURATION for part in ("input", "infer", "output")}
_TIMING = _object(decode_ms=_NUMBER, queue_ms=_NUMBER, compute_ms=_NUMBER, total_ms=_NUMBER)
_IMAGE = {
    "image": {"type": "string", "description": "The file's name in the form."},
    "error": _or_null("string"),
}
_SIZE = {"width": _COUNT, "height": _COUNT, "note": _or_null("string")}
_METADATA = _list(_object(name=_TEXT, datatype=_DATATYPE, shape=_list(_SIGNED)))

SCHEMAS: dict[str, Schema] = {
    "Error": _object({"request_id": _TEXT}, error=_TEXT),
    "Server": _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT)),
    "Model": _object(
        {"parameters": _object(doubts=_list(_TEXT))},
        name=_TEXT,
        versions=_list(_TEXT),
        platform=_TEXT,
        inputs=_METADATA,
        outputs=_METADATA,
    ),
    "Config": _object(
        {"parameters": {"type": "object"}},
        name=_TEXT,
        platform=_TEXT,
        backend=_TEXT,
        version_policy={"type": "object"},
        max_batch_size=_COUNT,
        input=_list(schema("ConfigTensor")),
        output=_list(schema("ConfigTensor")),
        instance_group=_list(_object(name=_TEXT, kind=_TEXT, count=_COUNT)),
        dynamic_batching={"type": "object"},
        default_model_filename=_TEXT,
        model_transaction_policy=_object(decoupled=_FLAG),
        response_cache=_object(enable=_FLAG),
    ),
    "ConfigTensor": _object(
        {
            "format": _TEXT,
            "is_shape_tensor": _FLAG,
            "allow_ragged_batch": _FLAG,
            "optional": _FLAG,
            "label_filename": _TEXT,
        },
        name=_TEXT,
        data_type=_TEXT,
        dims=_list(_SIGNED),
    ),
    "Duration": _object(count=_COUNT, ns=_COUNT),
    "Statistics": _object(
        model_stats=_list(
            _object(
                name=_TEXT,
                version=_TEXT,
                last_inference=_COUNT,
                inference_count=_COUNT,
                execution_count=_COUNT,
                inference_stats=_object(
                    success=_DURATION,
                    fail=_DURATION,
                    queue=_DURATION,
                    cache_hit=_DURATION,
                    cache_miss=_DURATION,
                    **_COMPUTE,
                ),
                response_stats={"type": "object"},
                batch_stats=_list(_object(batch_size=_COUNT, **_COMPUTE)),
                memory_usage=_list({}),
            )
        )
    ),
    "Data": _DATA,
    "InferRequest": _object(
        {
            "id": _TEXT,
            "parameters": _object(
                {
                    "timeout": {**_COUNT, "description": "Microseconds."},
                    "priority": {**_COUNT, "description": "1 is the highest, 0 the default."},
                    "binary_data_output": _FLAG,
                }
            ),
            "outputs": _list(
                _object(
                    {
                        "parameters": _object(
                            {
                                "binary_data": _FLAG,
                                "classification": {
                                    **_COUNT,
                                    "description": "So many of the highest values, as text.",
                                },
                                **_PLACE,
                            }
                        )
                    },
                    name=_TEXT,
                )
            ),
        },
        inputs=_list(
            _object(
                {
                    "data": schema("Data"),
                    "parameters": _object({"binary_data_size": _COUNT, **_PLACE}),
                },
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_list(_COUNT),
            ),
            minItems=1,
        ),
    ),
    "InferResponse": _object(
        {"id": _TEXT},
        model_name=_TEXT,
        model_version=_TEXT,
        outputs=_list(
            _object(
                {
                    "data": schema("Data"),
                    "parameters": _object({"binary_data_size": _COUNT, **_PLACE}),
                },
                name=_TEXT,
                datatype=_TEXT,
                shape=_list(_COUNT),
            )
        ),
    ),
    "IndexRequest": _object({"ready": _FLAG}),
    "Index": _list(_object(name=_TEXT, version=_TEXT, state=_TEXT, reason=_TEXT)),
    "ControlRequest": _object({"parameters": {"type": "object"}}),
    "Region": _object(
        {"offset": _COUNT},
        key={"type": "string", "pattern": "^/?[^/\\0]+$"},
        byte_size={"type": "integer", "minimum": 1},
    ),
    "Regions": _list(_object(name=_TEXT, key=_TEXT, offset=_COUNT, byte_size=_COUNT)),
    "Image": _object({"file": _list(_FILE, maxItems=1)}),
    "Images": _object({"file": _list(_FILE)}),
    "Classes": _object(
        model=_TEXT,
        weights=_TEXT,
        note=_or_null("string"),
        results=_list(
            _object(
                _SIZE,
                **_IMAGE,
                predictions=_list(
                    _object(index=_COUNT, label=_or_null("string"), probability=_NUMBER)
                ),
            )
        ),
        timing=_TIMING,
    ),
    "Embeddings": _object(
        model=_TEXT,
        layer=_TEXT,
        dimension=_COUNT,
        note=_or_null("string"),
        results=_list(
            _object(_SIZE, **_IMAGE, embedding={"type": ["array", "null"], "items": _NUMBER})
        ),
        timing=_TIMING,
    ),
    "Card": _object(
        name=_TEXT,
        network=_ANY,
        weights=_object(kind=_TEXT, words=_TEXT, sha256=_or_null("string")),
        preprocessing=_ANY,
        input=_ANY,
        output=_ANY,
        labels=_COUNT,
        precision=_TEXT,
        precision_words=_TEXT,
        artifact=_TEXT,
        backend=_TEXT,
        device=_TEXT,
        reason=_TEXT,
        parity={"type": "object"},
        lrn_layers=_list({"type": "object"}),
        doubts=_list(_TEXT),
        report=_FLAG,
        limits={"type": "object"},
    ),
    "Occlusion": _object(
        {"region": {"type": "object"}, "timing": {"type": "object"}},
        model=_TEXT,
        drops=_list(_list(_NUMBER)),
        rows=_COUNT,
        batches=_COUNT,
        **{"class": {"type": "object"}},
    ),
}
