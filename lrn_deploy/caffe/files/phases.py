"""Which layers a network has when it is deployed: Caffe's phases, levels and stages."""

from __future__ import annotations

from lrn_deploy.caffe.files.record import Record

PHASE = "TEST"


def in_use(layers: list[Record], state: Record, stages: tuple[str, ...] = ()) -> list[Record]:
    """The layers that are there in the phase TEST.

    Args:
        layers: All layers, upgraded.
        state: The network's own ``NetState``: its level and stages count, its phase does not, as in
            Caffe, where the program that loads a network gives that.
        stages: Further stages.

    Raises:
        BadInputError: If a layer has both rules to include and rules to exclude it.
    """
    level = state.get("level")
    present = {*state.all("stage"), *stages}
    kept = []
    for layer in layers:
        include, exclude = layer.all("include"), layer.all("exclude")
        if include and exclude:
            raise layer.wrong("exclude", "a layer has rules to include or to exclude it, not both.")
        rules = include or exclude
        met = any(_met(rule, level, present) for rule in rules)
        if not rules or met == bool(include):
            kept.append(layer)
    return kept


def _met(rule: Record, level: int, present: set[str]) -> bool:
    if rule.has("phase") and rule.get("phase") != PHASE:
        return False
    if rule.has("min_level") and level < rule.get("min_level"):
        return False
    if rule.has("max_level") and level > rule.get("max_level"):
        return False
    return present.issuperset(rule.all("stage")) and present.isdisjoint(rule.all("not_stage"))
