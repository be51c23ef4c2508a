"""Faults of objects by the models that the packages kserve and kubernetes ship.

Run by a Python that has both: it reads lists of objects as JSON and prints a list of sentences for
each of them.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import kserve.models
import kubernetes.client

_PLAIN = {"str": str, "int": int, "bool": bool, "float": float}
_KINDS = {
    "InferenceService": "V1beta1InferenceService",
    "ServingRuntime": "V1alpha1ServingRuntime",
}


def faults(value: Any, kind: str, at: str) -> list[str]:
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{at} is no list"]
        return [
            fault
            for index, one in enumerate(value)
            for fault in faults(one, listed[1], f"{at}[{index}]")
        ]
    if mapped := re.fullmatch(r"dict\((.+), (.+)\)", kind):
        if not isinstance(value, dict):
            return [f"{at} is no mapping"]
        return [
            fault for name, one in value.items() for fault in faults(one, mapped[2], f"{at}.{name}")
        ]
    if kind in _PLAIN:
        # A bool is an int to Python and not to a cluster.
        right = type(value) is _PLAIN[kind]
        return [] if right else [f"{at} is {value!r} and no {kind}"]
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None)
    if model is None:  # a quantity, or a number that may be text
        return []
    if not isinstance(value, dict):
        return [f"{at} is {value!r} and no {kind}"]
    names = {written: name for name, written in model.attribute_map.items()}
    found = [f"{at} has {name}, which no {kind} has" for name in value.keys() - names.keys()]
    for written in value.keys() & names.keys():
        found += faults(value[written], model.openapi_types[names[written]], f"{at}.{written}")
    try:
        model(**{names[written]: value[written] for written in value.keys() & names.keys()})
    except ValueError as error:  # what is required is missing, or not one of its values
        found.append(f"{at}: {error}")
    return found


def all_faults(objects: list[dict[str, Any]]) -> list[str]:
    return [fault for one in objects for fault in faults(one, _KINDS[one["kind"]], one["kind"])]


sys.stdout.write(json.dumps([all_faults(objects) for objects in json.load(sys.stdin)]))
