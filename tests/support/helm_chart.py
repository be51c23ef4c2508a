"""What Helm makes of a chart, and what Kubernetes' schemas say of that.

Run by a Python that has Helm as a library and the schemas: the chart's folder is its argument, and
it reads a list of values as JSON. For each it prints what lint says, why Helm refuses the values if
it does, or else the objects, the notes, and the faults of the objects.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python as helm
import kubernetes_validate
import yaml

_OTHERS = {"ServiceMonitor"}  # kinds that are not of Kubernetes itself


def tried(folder: str, values: dict[str, Any]) -> dict[str, Any]:
    lint = helm.lint(folder, values, strict=True)
    said = [one["error"] for one in lint["messages"] if one["severity"] > 1] + lint["errors"]
    with helm.Chart.load(folder) as chart:
        try:
            chart.validate_schema(values)
            files = chart.render(values, name="shop", namespace="nets")
        except helm.HelmError as error:
            return {"lint": said, "refused": str(error)}
    notes, objects = "", []
    for name, text in sorted(files.items()):
        if name.endswith(".txt"):
            notes = text
        else:
            objects += [one for one in yaml.safe_load_all(text) if one]
    return {
        "lint": said,
        "refused": "",
        "objects": objects,
        "notes": notes,
        "faults": [fault for one in objects for fault in faults(one)],
    }


def faults(one: dict[str, Any]) -> list[str]:
    if one["kind"] in _OTHERS:
        return []
    try:
        kubernetes_validate.validate(one, "1.37", strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{one['kind']}: {error.message}"]
    return []


sys.stdout.write(json.dumps([tried(sys.argv[1], one) for one in json.load(sys.stdin)]))
