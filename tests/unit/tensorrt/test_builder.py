"""What a build makes of the parser's and the builder's answers, told by ones of our own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.progress import Progress
from lrn_deploy.tensorrt.build import BuildRequest, BuiltEngine, build_fitted
from lrn_deploy.tensorrt.flavor import Flavor

OnStep = Callable[[str, int, int], bool]


class Fake:
    """A TensorRT whose builder takes three steps, whether or not it is told to stop.

    Args:
        errors: What its parser found, though it says that it has parsed the graph.
        plan: The engine; None if it gives none.
    """

    def __init__(self, errors: tuple[Any, ...] = (), plan: bytes | None = b"plan") -> None:
        self.errors: list[str] = ["Error Code 4: no tactic for node 'fc'"]
        self.said: list[bool] = []
        self._found = errors
        self._plan = plan

    def start_builder(self) -> Any:
        return self

    def create_network(self, _builder: Any) -> Any:
        return SimpleNamespace(num_layers=0, num_inputs=0)

    def create_parser(self, _network: Any) -> Any:
        return SimpleNamespace(
            parse=lambda _graph: True,
            num_errors=len(self._found),
            get_error=self._found.__getitem__,
        )

    def create_config(self, *_arguments: Any, **_options: Any) -> Any:
        return SimpleNamespace()

    def monitor(self, on_step: OnStep) -> OnStep:
        return on_step

    def build_serialized_network(self, _network: Any, config: Any) -> bytes | None:
        self.said += [config.progress_monitor("tactics", step, 3) for step in (1, 2, 3)]
        return self._plan


def build(fake: Fake, on_progress: Progress | None = None) -> BuiltEngine:
    request = BuildRequest(targets=("current",), batch=(1, 1, 1))
    return build_fitted(cast(Flavor, fake), b"graph", (), request, on_progress)


def test_what_a_parser_complains_of_counts_even_if_it_goes_on() -> None:
    error = SimpleNamespace(
        node=lambda: 0,
        node_name=lambda: "f",
        node_operator=lambda: "Frobnicate",
        code=lambda: SimpleNamespace(name="UNSUPPORTED_NODE"),
        desc=lambda: "It is skipped.",
    )
    with pytest.raises(BadInputError, match=r"node 'f' \(Frobnicate\)"):
        build(Fake(errors=(error,)))
    assert build(Fake()).data == b"plan"


def test_nobody_is_told_of_progress_who_has_asked_to_stop() -> None:
    told: list[tuple[str, int, int]] = []

    def on_progress(*step: Any) -> None:
        told.append(step)
        raise KeyboardInterrupt(f"step {step[1]}")

    fake = Fake()
    with pytest.raises(KeyboardInterrupt, match="step 1"):
        build(fake, on_progress)
    assert told == [("tactics", 1, 3)]
    assert fake.said == [False] * 3


def test_a_builder_that_gives_nothing_is_quoted() -> None:
    told: list[tuple[str, int, int]] = []
    with pytest.raises(BadInputError, match="no tactic for node 'fc'"):
        build(Fake(plan=None), lambda *step: told.append(step))
    assert [done for _, done, _ in told] == [1, 2, 3]
