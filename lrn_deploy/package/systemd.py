"""systemd: a unit that lets the server do nothing but serve, its settings, what installs it."""

from __future__ import annotations

import re
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.package.carry import carry
from lrn_deploy.package.replica import DRAIN_SECONDS, served
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.progress import Progress

_PROGRAM = "/usr/local/bin/lrn-server"
_BUNDLES = "/usr/local/share/lrn-server"
_SETTINGS = "/etc/lrn-server"
_FILE = re.compile(r"/[A-Za-z0-9._/+-]+")  # of which systemd takes every character as it is
_STOP_SECONDS = DRAIN_SECONDS + 10

_UNIT = """\
[Unit]
Description=lrn-server with {name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
EnvironmentFile={settings}/{name}.env
{secrets}ExecStart={program} {bundle} --no-supervise
# The server says that it is alive twice a second, unless no copy of the network is left that runs.
WatchdogSec=30
Restart=always
RestartSec=1
TimeoutStartSec=300
TimeoutStopSec={stop}
KillMode=mixed
LimitNOFILE=65536

# It gets a user that lasts as long as it runs, a /tmp of its own, and the rest to read at most.
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
{devices}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
{memory}LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"""
_CPU = "PrivateDevices=yes\nPrivateUsers=yes\nDevicePolicy=closed"
_CUDA = "DevicePolicy=closed\nDeviceAllow=char-nvidia* rw"
_NO_WRITING_OF_CODE = "MemoryDenyWriteExecute=yes\n"

_ENVIRONMENT = """\
# Settings of lrn-server for {name}; 'lrn-server --help' has all of them, each as LRN_SERVER_NAME.
# After a change: systemctl restart {unit}
LRN_SERVER_HOST=127.0.0.1
LRN_SERVER_HTTP_PORT=8000
LRN_SERVER_GRPC_PORT=8001
LRN_SERVER_DEVICE={device}
LRN_SERVER_THREADS={threads}
LRN_SERVER_INSTANCES={instances}
LRN_SERVER_MAX_BATCH_SIZE={rows}
# Behind a balancer: as many seconds as it takes to learn that ready says 503. TimeoutStopSec of the
# unit must be more than both together.
LRN_SERVER_PRE_DRAIN_SECONDS=0
LRN_SERVER_DRAIN_SECONDS={drain}
"""

_INSTALL = """\
#!/bin/sh
# Install the unit, its settings and the bundle; run it as root. Settings that are there stay.
set -eu
cd "$(dirname "$0")"
target="${{DESTDIR:-}}"
install -D -m 644 {unit} "$target/etc/systemd/system/{unit}"
[ -e "$target{settings}/{name}.env" ] || install -D -m 644 {name}.env "$target{settings}/{name}.env"
mkdir -p "$target{bundles}"
rm -rf "$target{bundles}/{name}.new" "$target{bundles}/{name}.old"
cp -R bundle "$target{bundles}/{name}.new"
chmod -R a+rX "$target{bundles}/{name}.new"
[ ! -e "$target{bundles}/{name}" ] || mv "$target{bundles}/{name}" "$target{bundles}/{name}.old"
mv "$target{bundles}/{name}.new" "$target{bundles}/{name}"
rm -rf "$target{bundles}/{name}.old"
[ -n "$target" ] || {{
  systemctl daemon-reload
  systemctl enable {unit}
  systemctl restart {unit}
}}
"""


def write(subject: Subject, folder: Path, progress: Progress) -> Written:
    """Write the unit, the file of its environment, the bundle, and a script that installs them.

    Raises:
        BadInputError: If a path is none that a unit can have.
    """
    options, name = subject.options, subject.name
    unit = f"lrn-server-{name}.service"
    program = _path(options.server or _PROGRAM, "--server")
    words = {"name": name, "unit": unit, "settings": _SETTINGS, "bundles": _BUNDLES}
    cuda = options.device == "cuda"
    texts = {
        unit: _UNIT.format(
            program=program,
            bundle=served(subject, f"{_BUNDLES}/{name}"),
            secrets=_secrets(subject),
            devices=_CUDA if cuda else _CPU,
            memory="" if cuda or _makes_code(subject) else _NO_WRITING_OF_CODE,
            stop=_STOP_SECONDS,
            **words,
        ),
        f"{name}.env": _ENVIRONMENT.format(
            device=options.device,
            threads=options.threads,
            instances=options.instances,
            rows=options.max_batch_size,
            drain=DRAIN_SECONDS,
            **words,
        ),
        "install.sh": _INSTALL.format(**words),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "install.sh").chmod(0o755)
    carry(subject, folder / "bundle", progress)
    return Written(
        notes=(
            f"Where it is to run, {program} must be the server: an installed one or one file.",
            "Install and start it there with: sudo {output}/install.sh",
        )
    )


def _makes_code(subject: Subject) -> bool:
    """Whether what runs the network makes machine code for it, which ONNX Runtime does not."""
    return subject.artifact.format == "openvino" or (
        subject.placement is not None and subject.placement.backend == "openvino"
    )


def _secrets(subject: Subject) -> str:
    """Files that only root can read, given to the server as credentials of systemd."""
    options, lines = subject.options, ""
    for said, option, setting, file in (
        (options.keys_secret, "--keys-secret", "KEYS", "keys.json"),
        (options.tls_secret, "--tls-secret", "TLS_CERT", "tls.pem"),
    ):
        if said:
            lines += f"LoadCredential={file}:{_path(said, option)}\n"
            lines += f"Environment=LRN_SERVER_{setting}=%d/{file}\n"
    return lines


def _path(said: str, option: str) -> str:
    if not _FILE.fullmatch(said):
        raise BadInputError(
            f"A unit cannot have '{said}' as a path.",
            f"Give {option} an absolute path of letters, digits, dots, dashes and underscores.",
        )
    return said
