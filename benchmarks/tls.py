"""What TLS costs: lrn-server with and without, tritonserver alone and behind nginx, having none.

``python -m benchmarks.tls`` measures and writes ``results/tls.json``. All servers are started, and
then take turns. nginx is Debian's (apt-get install nginx-light), with keep-alive to tritonserver
and nothing written to disk; its processor time counts with tritonserver's.
"""

from __future__ import annotations

import argparse
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import trustme

from benchmarks.harness import write_result
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.ours import lrn_server
from benchmarks.peers.processes import Server, free_ports, running
from benchmarks.quiet import quiet
from benchmarks.serve.bursts import all_started
from benchmarks.serve.networks import nothing
from lrn_deploy.bundle import Bundle

CONCURRENCIES = (1, 4, 16)
MAX_BATCH = 16
OURS, TRITON = CONTENDERS[:2]
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000;
  upstream triton {{ server 127.0.0.1:{inner}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{
      proxy_pass http://triton; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_request_buffering off; proxy_buffering off;
    }}
  }}
}}
"""


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each burst")
    options = parser.parse_args()
    calm = quiet()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certified = certificate(folder)
        contenders = (*ours(certified), *peers(certified))
        bursts = {
            what: measure(bundle, folder, contenders, options.rounds, options.seconds)
            for what, bundle in {
                "nothing, uint8, 154,587 bytes": nothing(folder, floats=False),
                "nothing, float32, 618,348 bytes": nothing(folder, floats=True),
            }.items()
        }
    versions = {"openssl": ssl.OPENSSL_VERSION, "nginx": nginx_version()}
    file = write_result("tls", {"quiet": calm, **versions, "bursts": bursts})
    for what, told in bursts.items():
        print(f"\n{what}: server's CPU in ms for each request, requests per second")
        print("\n".join(table(told)))
    print(f"wrote {file}")
    return 0


@dataclass(frozen=True)
class Certified:
    """A certificate for this machine, as files.

    Attributes:
        chain: The certificate.
        key: Its key.
        ca: What vouches for it.
    """

    chain: Path
    key: Path
    ca: Path


def certificate(folder: Path) -> Certified:
    """One of an authority of its own, for ECDSA on P-256."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    made = Certified(*(folder / name for name in ("chain.pem", "key.pem", "ca.pem")))
    made.chain.write_bytes(leaf.cert_chain_pems[0].bytes())
    made.key.write_bytes(leaf.private_key_pem.bytes())
    made.key.chmod(0o600)
    made.ca.write_bytes(authority.cert_pem.bytes())
    return made


def ours(certified: Certified) -> tuple[Contender, Contender]:
    """lrn-server without TLS and with it."""

    @contextmanager
    def start(bundle: Bundle, _folder: Path, threads: int, rows: int) -> Iterator[Server]:
        with lrn_server(
            bundle.path,
            *("--threads", str(threads), "--max-batch-size", str(rows), "--access-log", "none"),
            *("--tls-cert", certified.chain, "--tls-key", certified.key),
            ca=certified.ca,
        ) as server:
            yield server

    return OURS, replace(OURS, name="lrn-server+TLS", start=start, ca=certified.ca)


@dataclass(frozen=True)
class Behind(Server):
    """A server that is asked through another; both are measured together.

    Attributes:
        inner: The server behind.
    """

    inner: Server = field(default_factory=lambda: Server(0, 0))

    def pause(self) -> None:
        """Stop both."""
        super().pause()
        self.inner.pause()

    def resume(self) -> None:
        """Let both go on."""
        self.inner.resume()
        super().resume()

    def cpu_seconds(self) -> float:
        """Processor time of both."""
        return super().cpu_seconds() + self.inner.cpu_seconds()

    def memory_bytes(self) -> int:
        """Memory of both."""
        return super().memory_bytes() + self.inner.memory_bytes()


def peers(certified: Certified) -> tuple[Contender, Contender]:
    """A tritonserver alone, and one behind nginx, which speaks TLS for it."""

    @contextmanager
    def start(bundle: Bundle, folder: Path, threads: int, rows: int) -> Iterator[Server]:
        with (
            TRITON.start(bundle, folder, threads, rows) as inner,
            behind_nginx(inner, folder, certified) as server,
        ):
            yield server

    encrypted = replace(TRITON, name="tritonserver+nginx+TLS", start=start, ca=certified.ca)
    return TRITON, encrypted


@contextmanager
def behind_nginx(inner: Server, folder: Path, certified: Certified) -> Iterator[Server]:
    """Put nginx in front of a server.

    Args:
        inner: The server.
        folder: Where nginx works.
        certified: What it shows.
    """
    (port,) = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(
            folder=folder,
            inner=inner.http_port,
            port=port,
            chain=certified.chain,
            key=certified.key,
        )
    )
    command = [nginx(), "-c", str(config), "-p", str(folder)]
    with running(command, "/v2/health/ready", [port], ca=certified.ca) as front:
        yield Behind(front.pid, port, inner=inner)


def nginx() -> str:
    """The program.

    Raises:
        RuntimeError: If it is not installed.
    """
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx-light")
    return found


def nginx_version() -> str:
    """What it calls itself."""
    told = subprocess.run([nginx(), "-v"], capture_output=True, text=True, check=True).stderr
    return told.partition("/")[2].strip()


def measure(
    bundle: Bundle, folder: Path, contenders: Sequence[Contender], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Bursts of all in turns, with one thread for the network.

    Args:
        bundle: What is served.
        folder: Where they work.
        contenders: The servers.
        rounds: Turns of each.
        seconds: Of each burst.

    Returns:
        What each burst told; ``fresh`` if every request had a connection of its own.
    """
    bursts = []
    with all_started(bundle, folder, 1, MAX_BATCH, contenders) as turns:
        fresh = [replace(turn, request=_closing(turn.request)) for turn in turns]
        for turn in range(rounds):
            at = turn % len(turns)
            for connections in CONCURRENCIES:
                for one in turns[at:] + turns[:at]:
                    bursts.append(one.burst(connections, seconds) | {"fresh": False})
            for one in fresh[at:] + fresh[:at]:
                bursts.append(one.burst(4, seconds) | {"fresh": True})
    return bursts


def _closing(request: bytes) -> bytes:
    """The request on a connection that serves for no other."""
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def table(bursts: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each way to ask: medians of the turns."""
    lines = []
    for fresh, connections in ((False, 1), (False, 4), (False, 16), (True, 4)):
        cells = []
        for name in dict.fromkeys(burst["server"] for burst in bursts):
            own = [
                burst
                for burst in bursts
                if (burst["server"], burst["fresh"], burst["connections"])
                == (name, fresh, connections)
            ]
            cpu, rate = (
                float(np.median([burst[key] for burst in own]))
                for key in ("server_cpu_ms", "per_second")
            )
            cells.append(f"{name} {cpu:.2f} {rate:.0f}")
        lines.append(f"  x{connections:<3} {'fresh ' if fresh else ''}{' | '.join(cells)}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
