"""Build every zoo network in every precision with tensorrt-rtx, on a machine without a GPU.

For sm86, sm89 and sm120 in one engine, and in fp16 for sm75 (Turing). Each engine is built in a
process of its own, so that its peak memory is its own; and what cannot be built is written down
with the sentence that says so. Nothing is run: sizes and build times say nothing about speed.

``python -m benchmarks.engines NETWORK...`` builds those alone; the rows of others stay as they are,
if the same versions built them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, write_result
from lrn_deploy import environment
from lrn_deploy.models import ZOO

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
TARGETS = ("sm86", "sm89", "sm120")
TURING = ("sm75",)
MAX_FP16_SHARE = 0.55
"""AlexNet's engine in fp16 must be below this share of its engine in fp32."""


def main() -> int:
    """Build everything, print a table and write ``results/engines.json``; 1 if an aim is missed."""
    wanted = sys.argv[1:] or list(ZOO)
    builds = [row for row in known() if row["network"] not in wanted]
    for network in wanted:
        with tempfile.TemporaryDirectory() as name:  # up to 2 GB for each network
            bundle = str(Path(name) / network)
            call("export", network, "-o", bundle)
            for precision in PRECISIONS:
                builds.append(build(bundle, network, precision, TARGETS))
            builds.append(build(bundle, network, "fp16", TURING))
    builds.sort(key=lambda row: list(ZOO).index(row["network"]))
    share = size_of(builds, "fp16") / size_of(builds, "fp32")
    failed = [item for item in builds if "error" in item]
    file = write_result(
        "engines",
        {
            "what": "engines built, hashed and parsed, not run",
            "builds": builds,
            "alexnet_fp16_share_of_fp32": share,
            "aim": MAX_FP16_SHARE,
        },
    )
    print(f"AlexNet in fp16: {share:.1%} of its size in fp32 (the aim: below {MAX_FP16_SHARE:.0%})")
    print(f"{len(builds) - len(failed)} of {len(builds)} built; wrote {file.name}")
    return int(bool(failed) or not share < MAX_FP16_SHARE)


def known() -> list[dict[str, Any]]:
    """The rows of before; none if other versions made them."""
    file = RESULTS / "engines.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    rows: list[dict[str, Any]] = before.get("builds", [])
    same = before.get("versions") == environment.versions()
    return [row | {"targets": tuple(row["targets"])} for row in rows] if same else []


def build(bundle: str, network: str, precision: str, targets: tuple[str, ...]) -> dict[str, Any]:
    """Build one engine and give its record, or the sentence with which it was refused."""
    words = [word for target in targets for word in ("--target", target)]
    code, answer, error = call(
        "build-engine", bundle, "--flavor", "rtx", "--precision", precision, *words, "--json"
    )
    facts: dict[str, Any] = {"network": network, "precision": precision, "targets": targets}
    if code:
        facts |= {"exit_code": code, "error": error.strip().splitlines()}
        print(f"{network:<20} {precision} {'+'.join(targets):<16} refused: {facts['error'][0]}")
        return facts
    artifact = json.loads(answer)["artifact"]
    engine = artifact["engine"]
    print(
        f"{network:<20} {precision} {'+'.join(targets):<16} {artifact['size'] / 1e6:7.1f} MB "
        f"{engine['build_seconds']:5.1f} s"
    )
    kept = (
        "version",
        "batch",
        "source_sha256",
        "lrn",
        "build_seconds",
        "peak_memory",
        "reproducible",
        "realised",
    )
    return (
        facts
        | {"size": artifact["size"], "sha256": artifact["sha256"]}
        | {name: engine[name] for name in kept}
    )


def size_of(builds: list[dict[str, Any]], precision: str) -> float:
    """Bytes of AlexNet's engine for :data:`TARGETS`; NaN if it was refused."""
    for item in builds:
        if (item["network"], item["precision"], item["targets"]) == ("alexnet", precision, TARGETS):
            return float(item.get("size", "nan"))
    return float("nan")


def call(*words: str) -> tuple[int, str, str]:
    """Run ``lrn-deploy`` in a process of its own: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "lrn_deploy", *words], check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    sys.exit(main())
