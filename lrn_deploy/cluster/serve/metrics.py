"""Prometheus text of several replicas as one, each sample with the replica that it is of."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (.+)")


def merged(texts: Mapping[str, str]) -> str:
    """One exposition of many.

    Args:
        texts: By replica, its metrics in Prometheus' text format.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for replica, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                told = heads.setdefault(family, [])
                if line not in told:
                    told.append(line)
            elif found := _SAMPLE.fullmatch(line):
                name, labels, value = found.groups()
                labels = f'replica="{replica}"' + (f",{labels}" if labels else "")
                samples.setdefault(family, []).append(f"{name}{{{labels}}} {value}")
    lines = [line for family in samples for line in [*heads.get(family, ()), *samples[family]]]
    return "".join(f"{line}\n" for line in lines)
