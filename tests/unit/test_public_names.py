"""The names that programs use: exactly these, each explained and annotated throughout."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import lrn_deploy

NAMES = {
    "BadInputError",
    "Budgets",
    "CannotWriteError",
    "CheckFailedError",
    "DamagedError",
    "Effort",
    "ImageResult",
    "LoadedNetwork",
    "LrnDeployError",
    "Made",
    "MissingError",
    "OpenBundle",
    "Prediction",
    "Said",
    "export",
    "import_model",
    "open",
}
MEMBERS = {
    "OpenBundle": {
        "artifacts",
        "build_engine",
        "load",
        "manifest",
        "optimize",
        "package",
        "profile",
        "report",
        "tune",
        "validate",
    },
    "LoadedNetwork": {"classify", "classify_all", "close", "run"},
}


def test_the_public_names_are_these() -> None:
    assert set(lrn_deploy.__all__) == NAMES
    assert set(lrn_deploy.__all__) <= set(dir(lrn_deploy))
    homes = [name for names in lrn_deploy._HOMES.values() for name in names]
    assert sorted(homes) == sorted(NAMES)
    for name, members in MEMBERS.items():
        own = vars(getattr(lrn_deploy, name))
        assert {member for member in own if not member.startswith("_")} == members


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'deploy_it'"):
        lrn_deploy.deploy_it  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_has_a_docstring_and_full_annotations(name: str) -> None:
    value = getattr(lrn_deploy, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")  # what a dataclass writes of itself
    for function in _functions(value):
        assert function.__doc__ or function.__name__.startswith("__"), function
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        unsaid = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
        ]
        assert not unsaid, function


@pytest.mark.parametrize(
    ("method", "field", "meaning"),
    [
        ("optimize", "keep_lrn_fp32", "False computes LRN in fp16 or bf16"),
        ("build_engine", "workspace", "Limit of scratch GPU memory"),
        ("validate", "layerwise", "Compare every layer"),
        ("profile", "against", "an earlier ``latency.json``"),
        ("profile", "max_regression", "Slowdown that a comparison lets pass"),
        ("tune", "min_agreement", "Smallest share of inputs"),
        ("package", "output", "empty: beside the bundle"),
        ("package", "max_batch_size", "Rows that run together at most"),
    ],
)
def test_help_shows_the_options_and_what_they_mean(method: str, field: str, meaning: str) -> None:
    function = getattr(lrn_deploy.OpenBundle, method)
    assert field in inspect.signature(function).parameters
    assert f"    {field}: " in function.__doc__
    assert meaning in function.__doc__


def _functions(value: Any) -> Iterator[Any]:
    """A function, or what a class of this package defines that can be called."""
    if inspect.isfunction(value):
        yield value
    for name, one in vars(value).items() if inspect.isclass(value) else ():
        function = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
        public = not name.startswith("_") or name in ("__init__", "__call__")
        if public and inspect.isfunction(function):
            yield function


@pytest.mark.parametrize(("said", "told"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_no_runtime_tells_its_makers_of_us_unless_somebody_wants_it(
    said: dict[str, str], told: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | said
    asked = "import os, lrn_deploy; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    answer = subprocess.check_output([sys.executable, "-c", asked], env=environment, text=True)
    assert answer.strip() == told
