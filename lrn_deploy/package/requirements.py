"""What the server needs from an index, at the versions that are installed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata

from lrn_deploy.errors import MissingError
from lrn_deploy.extras import install, install_package

_NAME = "lrn-deploy"


def pinned(extras: Sequence[str], said: Sequence[str] = ()) -> list[str]:
    """Requirements of this package with some of its extras, and all that these need in turn.

    Args:
        extras: Names of extras.
        said: Requirements that stand instead of what the extras say of the same packages.

    Returns:
        ``name==version`` for what is installed here, in the order of the alphabet. What is not, as
        it was asked for: a GPU's runtime need not be installed where a package is made.

    Raises:
        MissingError: If this package is not installed as one, so that it has no metadata.
    """
    try:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name
    except ImportError as error:
        raise MissingError(
            "What an image needs is read by packaging, which is not installed.",
            f"Install it with: {install_package('packaging')}",
        ) from error

    def needs(name: str, wanted: frozenset[str]) -> Iterator[Requirement]:
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": one}) for one in wanted | {""}):
                yield requirement

    instead = {canonicalize_name(Requirement(line).name): Requirement(line) for line in said}
    try:
        todo = list(needs(_NAME, frozenset(extras)))
    except metadata.PackageNotFoundError as error:
        raise MissingError(
            f"{_NAME} runs from a folder, so what it needs is not written anywhere.",
            f"Install it: {install('cpu', 'serve')}",
        ) from error
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        key = canonicalize_name(requirement.name)
        requirement = instead.get(key, requirement)
        wanted = frozenset(requirement.extras)
        if (key, wanted) in seen:
            continue
        seen.add((key, wanted))
        shown = f"{key}[{','.join(sorted(wanted))}]" if wanted else key
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found.setdefault(key, f"{shown}{requirement.specifier}")
            continue
        if version.partition("+")[0] not in requirement.specifier:  # asked for otherwise
            found[key] = f"{shown}{requirement.specifier}"
            continue
        found[key] = f"{shown}=={version.partition('+')[0]}"
        todo += needs(requirement.name, wanted)
    return [found[key] for key in sorted(found)]
