"""What docs/ray.md says was measured is what the file says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def test_the_page_quotes_the_record() -> None:
    record: dict[str, Any] = json.loads(
        (ROOT / "benchmarks" / "results" / "ray_cluster.json").read_text()
    )
    page = re.sub(r"\s+", " ", (ROOT / "docs" / "ray.md").read_text())
    gain, node, replica = record["gain"], record["node_killed"], record["replica_killed"]
    again = record["sent_again"]
    both = sorted(one["per_second"] for one in record["two_replicas"])[1]
    told = [
        f"two replicas gave {gain:.2f} times the answers of one, {both:.1f} a second",
        f"kept all of {record['update']['statuses']['200']} requests, the longest of "
        f"{record['update']['longest_ms'] / 1e3:.1f} s",
        *(
            f"{lost['statuses']['200']} of {sum(lost['statuses'].values())}"
            for lost in (node, replica)
        ),
        f"{again['node_killed']} of them sent again, the longest after "
        f"{node['longest_ms'] / 1e3:.1f} s",
        f"{again['replica_killed']} sent again, the longest after "
        f"{replica['longest_ms'] / 1e3:.1f} s",
    ]
    assert [sentence for sentence in told if sentence not in page] == []
    assert all(record["checks"].values())
