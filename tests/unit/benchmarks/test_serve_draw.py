"""What the documentation says of the server is what was recorded."""

from __future__ import annotations

from benchmarks.runtimes.draw import between
from benchmarks.serve.draw import DETAILS, SUMMARY, details, results, summary


def test_the_documentation_is_what_the_recorded_results_give() -> None:
    served, overloaded = results("serve"), results("overload")
    for page, content in ((DETAILS, details), (SUMMARY, summary)):
        text = page.read_text(encoding="utf-8")
        drawn = between(text, "servers", content(served, overloaded))
        assert drawn == text, "draw it again: python -m benchmarks.serve.draw"


def test_medians_are_taken_over_the_rounds_of_each_number_of_clients() -> None:
    served = dict(results("serve"))
    told = {"server": "lrn-server", "connections": 1, "per_second": 10.0}
    others = [
        {"server": name, "connections": 1, "per_second": 5.0, "server_cpu_ms": 9.0}
        for name in ("tritonserver", "litserve", "bentoml")
    ]
    bursts = [told | {"server_cpu_ms": value} for value in (0.1, 0.5, 0.3)]
    served["small"] = {what: [*bursts, *others] for what in served["small"]}
    text = details(served, results("overload"))
    assert "| `digits` | 1 | 0.30, 10 | 9.00, 5 | 9.00, 5 | 9.00, 5 |" in text
    assert "takes 0.30 to 0.30 ms of processor time" in summary(served, results("overload"))
