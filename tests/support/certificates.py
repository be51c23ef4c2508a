"""Certificates for tests: of an authority that is made for the occasion."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass
class Authority:
    """An authority, and the folder that certificates are written to."""

    folder: Path
    ca: trustme.CA

    @property
    def file(self) -> Path:
        """Its own certificate."""
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return path

    def pair(self, name: str, *hosts: str, days: float = 30) -> tuple[Path, Path]:
        """A certificate with its chain, and its key, under the file name ``name``."""
        now = datetime.now(UTC)
        end = now + timedelta(days=days)
        leaf = self.ca.issue_cert(
            *(hosts or ("127.0.0.1", "localhost")),
            not_before=min(now, end) - timedelta(days=1),
            not_after=end,
        )
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return chain, key

    def client(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client trusts that knows this authority, and its own certificate if it has any."""
        context = ssl.create_default_context(cafile=str(self.file))
        if pair is not None:
            context.load_cert_chain(*map(str, pair))
        return context


def authority(folder: Path) -> Authority:
    """A new one."""
    folder.mkdir(parents=True, exist_ok=True)
    return Authority(folder, trustme.CA())
