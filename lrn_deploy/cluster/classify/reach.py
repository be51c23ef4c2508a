"""What stores and file systems refuse, told as an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lrn_deploy.errors import BadInputError, CannotWriteError, LrnDeployError
from lrn_deploy.stores import is_url
from lrn_deploy.stores.place import Place
from lrn_deploy.stores.refusals import refusal


@contextmanager
def reaching(place: str, doing: str) -> Iterator[None]:
    """Turn what the libraries below raise into one sentence.

    Args:
        place: A path, or a URL that fsspec opens.
        doing: What is done there: ``read`` or ``write``.
    """
    try:
        yield
    except LrnDeployError:
        raise
    except Exception as error:
        if is_url(place):
            store = Place.read(place)
            raise refusal(error, store, doing) from (None if store.secrets else error)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if doing == "read":
            raise BadInputError(f"'{place}' cannot be read: {reason}.", "Check it.") from error
        raise CannotWriteError(
            f"'{place}' cannot be written: {reason}.",
            "Check permissions and space; a further run goes on where this one has ended.",
        ) from error
