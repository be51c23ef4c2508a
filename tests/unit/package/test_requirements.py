"""What an image needs: versions of what is installed, by the metadata of packages of the test's."""

from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace

import pytest

from lrn_deploy.errors import MissingError
from lrn_deploy.package import requirements
from lrn_deploy.package.requirements import pinned

NEEDS = {
    "lrn-deploy": [
        "First>=1",
        "second[x,w]>=2; extra == 'serve'",
        "third; extra == 'gpu'",
        "fourth>=9",
        "old; python_version < '3'",
    ],
    "second": ["inner>=1; extra == 'x'", "other; extra == 'y'", "first"],
    "inner": ["lrn-deploy"],  # around in a circle
}
INSTALLED = {"first": "1.5+cpu", "second": "2.1", "fourth": "3.0", "inner": "1.0"}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "lrn-deploy":
            return "0.1"
        if name.lower() not in INSTALLED:
            raise metadata.PackageNotFoundError(name)
        return INSTALLED[name.lower()]

    told = SimpleNamespace(
        requires=lambda name: NEEDS.get(name.lower()),
        version=version,
        PackageNotFoundError=metadata.PackageNotFoundError,
    )
    monkeypatch.setattr(requirements, "metadata", told)


@pytest.fixture
def _circle_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "inner", [])


@pytest.mark.usefixtures("_circle_left_out")
@pytest.mark.parametrize(
    ("extras", "said", "lines"),
    [
        ([], [], ["first==1.5", "fourth>=9"]),  # of which an older one is installed here
        (["serve"], [], ["first==1.5", "fourth>=9", "inner==1.0", "second[w,x]==2.1"]),
        (["gpu"], [], ["first==1.5", "fourth>=9", "third"]),  # which is not installed here
        ([], ["FIRST==1.2.3"], ["first==1.2.3", "fourth>=9"]),
        (
            ["gpu"],
            ["third[a]==7", "fourth==3.0"],
            ["first==1.5", "fourth==3.0", "third[a]==7"],
        ),
    ],
)
def test_each_is_at_the_version_that_is_installed_or_as_it_was_asked_for(
    extras: list[str], said: list[str], lines: list[str]
) -> None:
    assert pinned(extras, said) == lines


def test_what_needs_each_other_is_gone_through_once() -> None:
    assert "lrn-deploy==0.1" in pinned(["serve"])


def test_a_package_that_is_not_installed_says_nothing_of_its_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def requires(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(requirements.metadata, "requires", requires)
    with pytest.raises(MissingError, match="lrn-deploy runs from a folder") as caught:
        pinned([])
    assert "[cpu,serve]" in caught.value.hint
