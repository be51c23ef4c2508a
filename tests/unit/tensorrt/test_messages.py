"""Which of TensorRT's many words are told, and in what order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lrn_deploy.tensorrt.messages import parser_error, reason


def error(node: int, says: str) -> Any:
    return SimpleNamespace(
        node=lambda: node,
        node_name=lambda: f"n{node}",
        node_operator=lambda: "Conv",
        code=lambda: SimpleNamespace(name="INVALID_NODE"),
        desc=lambda: says,
    )


def test_each_node_is_named_once_with_its_first_reason_and_three_are_enough() -> None:
    errors = [
        error(7, "Invalid Node - n7\nIts kernel is empty.\nMore."),
        error(7, "What follows from that."),
        *(error(node, "It has no input.") for node in (3, 4, 5, 6)),
    ]
    assert parser_error(errors).message == (
        "TensorRT cannot take node 'n7' (Conv): Its kernel is empty. "
        "TensorRT cannot take node 'n3' (Conv): It has no input. "
        "TensorRT cannot take node 'n4' (Conv): It has no input. "
        "2 more nodes are refused."
    )


def test_the_last_words_that_say_something_are_the_reason() -> None:
    errors = ["First.", " The real one. ", "Thread context has not been set", "cudaError 35: no"]
    assert reason(errors) == "The real one"
    assert reason(errors[2:]) == "it does not say why"
