from __future__ import annotations

from lrn_deploy.cluster.serve.metrics import merged

_ONE = """\
# HELP seen Number of things
# TYPE seen counter
seen{model="a"} 3
# HELP rows Rows
# TYPE rows histogram
rows_bucket{le="1"} 2
rows_count 2
"""


def test_each_sample_says_whose_it_is_and_each_head_stands_once() -> None:
    assert (
        merged({"x": _ONE, "y": _ONE.replace(" 3", " 4")})
        == """\
# HELP seen Number of things
# TYPE seen counter
seen{replica="x",model="a"} 3
seen{replica="y",model="a"} 4
# HELP rows Rows
# TYPE rows histogram
rows_bucket{replica="x",le="1"} 2
rows_count{replica="x"} 2
rows_bucket{replica="y",le="1"} 2
rows_count{replica="y"} 2
"""
    )
