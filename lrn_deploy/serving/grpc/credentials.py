"""What gRPC encrypts with: the server's certificate, asked for anew by each connection."""

from __future__ import annotations

from typing import Any

import grpc

from lrn_deploy.serving.security.tls import Pair, Tls


def credentials(tls: Tls) -> Any:
    """Credentials of a port, which follow what ``tls`` has.

    gRPC speaks TLS 1.2 and newer only, by itself.
    """
    used: list[Pair] = [tls.pair]

    def fetch() -> Any:
        """The certificate for the connection that begins; None if it is the one before's."""
        pair = tls.pair
        if pair is used[0]:
            return None
        used[0] = pair
        return _configuration(pair)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(tls.pair), fetch, tls.pair.authorities is not None
    )


def _configuration(pair: Pair) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.chain)], root_certificates=pair.authorities
    )
