"""The server as one file that carries the bundle: it needs no Python, and nothing to be given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lrn_deploy.errors import BadInputError
from lrn_deploy.package.carry import carry
from lrn_deploy.package.inside import FOLDER, LIST
from lrn_deploy.package.one_file import add_files, build_server, check_server, contents
from lrn_deploy.package.subject import Subject, Written
from lrn_deploy.progress import Progress


def write(subject: Subject, folder: Path, progress: Progress) -> Written:
    """Build the server, or take one that was built, and put the bundle into a copy of it.

    Raises:
        BadInputError: If the file has no runtime for the artifact, or ``--server`` is no server.
        MissingError: If something is not installed that building it needs.
    """
    _check(subject)
    name = f"{subject.name}-server"
    program = folder / name
    if given := subject.options.server:
        server = Path(given)
        if LIST in contents(server):
            raise BadInputError(
                f"'{server}' carries a bundle already.", "Give --server one without a bundle."
            )
        check_server(server)
        shutil.copyfile(server, program)
    else:
        progress("building the server", 0, 1)
        build_server(program)
    bundle, listed = folder / "bundle", folder / LIST
    size = carry(subject, bundle, progress)
    chosen = subject.artifact_name if subject.options.artifact else ""
    options = subject.options
    told = {
        "bundles": {subject.name: chosen},
        "settings": {
            "threads": options.threads,
            "instances": options.instances,
            "max_batch_size": options.max_batch_size,
        },
    }
    listed.write_text(json.dumps(told), encoding="utf-8")
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file()]
    inside = f"{FOLDER}/{subject.name}"
    add_files(
        program,
        [(LIST, listed), *((f"{inside}/{path.relative_to(bundle)}", path) for path in files)],
    )
    program.chmod(0o755)
    shutil.rmtree(bundle)
    listed.unlink()
    total = sum(contents(program).values())
    return Written(
        single=name,
        notes=(
            "Start it with: {output} --host 127.0.0.1",
            f"Each start unpacks {total / 1e6:.0f} MB, {size / 1e6:.0f} of them the bundle, into "
            "the folder for temporary files, which must allow programs to run.",
        ),
    )


def _check(subject: Subject) -> None:
    if subject.options.device != "cpu":
        raise BadInputError(
            "The one-file server has ONNX Runtime for the CPU, and nothing for a GPU.",
            "Use --to container --device cuda.",
        )
    if subject.options.artifact and subject.artifact.format != "onnx":
        raise BadInputError(
            f"The one-file server cannot run '{subject.artifact_name}', which is of the format "
            f"{subject.artifact.format}.",
            "Choose another with --artifact, or use --to container.",
        )
