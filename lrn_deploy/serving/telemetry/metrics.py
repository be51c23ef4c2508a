"""The counters as Prometheus text, under Triton's names, so that its dashboards work.

What Triton has no name for is called ``lrn_*``: batch sizes, rows and bytes in the queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from lrn_deploy.serving.batching.statistics import REASONS
from lrn_deploy.serving.repository.model import VERSION, ServedModel

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = (
    ("nv_inference_request_success", "Number of successful inference requests"),
    ("nv_inference_count", "Number of inferences performed, in rows"),
    ("nv_inference_exec_count", "Number of batches executed"),
    ("nv_inference_request_duration_us", "Cumulative inference request duration in microseconds"),
    ("nv_inference_queue_duration_us", "Cumulative queuing duration in microseconds"),
    ("nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds"),
    ("nv_inference_compute_infer_duration_us", "Cumulative compute infer duration in microseconds"),
    (
        "nv_inference_compute_output_duration_us",
        "Cumulative compute output duration in microseconds",
    ),
)
_GAUGES = (
    ("nv_inference_pending_request_count", "Number of requests waiting in the queue"),
    ("lrn_queue_rows", "Number of rows waiting in the queue"),
    ("lrn_queue_bytes", "Bytes of inputs waiting in the queue"),
    ("lrn_running_requests", "Number of requests whose batch is running"),
    ("lrn_instances_alive", "Number of instances that can run"),
)


def render(models: Iterable[ServedModel], rate_limited: int = 0, log_dropped: int = 0) -> str:
    """All metrics in Prometheus' text format 0.0.4.

    Args:
        models: The models.
        rate_limited: Requests that were refused for their caller's rate.
        log_dropped: Lines of the log that nobody read.
    """
    loaded = [(f'model="{_escape(model.name)}",version="{VERSION}"', model) for model in models]
    lines: list[str] = []
    counters = [(label, _counters(model)) for label, model in loaded]
    for name, text in _COUNTERS:
        lines += _head(name, text, "counter")
        lines += [f"{name}{{{label}}} {values[name]}" for label, values in counters]
    lines += _head(
        "nv_inference_request_failure", "Number of failed inference requests, by reason", "counter"
    )
    for label, model in loaded:
        failures = model.batcher.statistics.failures
        lines += [
            f'nv_inference_request_failure{{{label},reason="{reason}"}} {failures[reason]}'
            for reason in REASONS
        ]
    gauges = [(label, _gauges(model)) for label, model in loaded]
    for name, text in _GAUGES:
        lines += _head(name, text, "gauge")
        lines += [f"{name}{{{label}}} {values[name]}" for label, values in gauges]
    lines += _head("lrn_batch_rows", "Rows of the batches that ran", "histogram")
    for label, model in loaded:
        lines += _histogram(label, model)
    lines += _head(
        "lrn_rate_limited_requests", "Number of requests over their client's rate", "counter"
    )
    lines.append(f"lrn_rate_limited_requests {rate_limited}")
    lines += _head(
        "lrn_log_lines_dropped", "Number of lines of the log that could not be written", "counter"
    )
    lines.append(f"lrn_log_lines_dropped {log_dropped}")
    return "\n".join(lines) + "\n"


def _counters(model: ServedModel) -> dict[str, int]:
    all_stats = model.batcher.statistics.snapshot(model.name, VERSION)
    stats = all_stats["inference_stats"]
    return {
        "nv_inference_request_success": stats["success"]["count"],
        "nv_inference_count": all_stats["inference_count"],
        "nv_inference_exec_count": all_stats["execution_count"],
        "nv_inference_request_duration_us": stats["success"]["ns"] // 1000,
        "nv_inference_queue_duration_us": stats["queue"]["ns"] // 1000,
        "nv_inference_compute_input_duration_us": stats["compute_input"]["ns"] // 1000,
        "nv_inference_compute_infer_duration_us": stats["compute_infer"]["ns"] // 1000,
        "nv_inference_compute_output_duration_us": stats["compute_output"]["ns"] // 1000,
    }


def _gauges(model: ServedModel) -> dict[str, int]:
    queue = model.batcher.pending
    return {
        "nv_inference_pending_request_count": queue.requests,
        "lrn_queue_rows": queue.rows,
        "lrn_queue_bytes": queue.bytes,
        "lrn_running_requests": model.batcher.running,
        "lrn_instances_alive": model.batcher.alive,
    }


def _histogram(label: str, model: ServedModel) -> list[str]:
    """Powers of two up to the maximum, cumulative as Prometheus wants them."""
    sizes = model.batcher.statistics.batch_sizes()
    bounds = [2**power for power in range(model.max_batch.bit_length())]
    if bounds[-1] != model.max_batch:
        bounds.append(model.max_batch)
    lines = [
        f'lrn_batch_rows_bucket{{{label},le="{bound}"}} '
        f"{sum(count for rows, count in sizes.items() if rows <= bound)}"
        for bound in bounds
    ]
    total = sum(sizes.values())
    return [
        *lines,
        f'lrn_batch_rows_bucket{{{label},le="+Inf"}} {total}',
        f"lrn_batch_rows_sum{{{label}}} {sum(rows * count for rows, count in sizes.items())}",
        f"lrn_batch_rows_count{{{label}}} {total}",
    ]


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
