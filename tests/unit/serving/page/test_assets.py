"""The page's files: which there are, what browsers may do with them, and that all are shipped."""

from __future__ import annotations

import gzip
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import lrn_deploy.serving.page
from lrn_deploy.serving.page import assets

ROOT = Path(__file__).parents[4]
FOLDER = Path(lrn_deploy.serving.page.__file__).parent / "assets"
IMPORT = re.compile(r"""^import .*? from "\./([^"]+)";$|^import "\./([^"]+)";$""", re.MULTILINE)


def test_what_is_served_is_what_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(assets.TYPES)


def test_every_file_is_in_the_wheel_and_in_the_binary() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["lrn_deploy.serving.page"]
    assert all(any(fnmatch(f"assets/{name}", one) for one in patterns) for name in assets.TYPES)
    assert '"lrn_deploy.serving.page"' in (ROOT / "lrn_deploy/package/one_file.py").read_text()


@pytest.mark.parametrize("name", assets.TYPES)
def test_a_file_is_answered_plain_packed_and_not_again(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    plain = assets.asset(name)
    headers = dict(plain.headers)
    assert (plain.status, plain.body, headers["content-type"]) == (200, content, assets.TYPES[name])
    packed = assets.asset(name, packed=True)
    assert dict(packed.headers)["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == content
    again = assets.asset(name, known=f'"other", {headers["etag"]}')
    assert (again.status, dict(again.headers)["etag"]) == (304, headers["etag"])
    assert assets.asset(name, known='W/"0123456789abcdef0123"').status == 200


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    headers = dict(assets.asset(assets.INDEX).headers)
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", assets.TYPES)
def test_nothing_is_inline_and_nothing_of_another_host(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    foreign = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'<]*", re.sub(r"\s//\s.*", "", text))
    assert [one for one in foreign if "www.w3.org/2000/svg" not in one] == []
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    if name.endswith(".js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", text)


def test_modules_import_what_there_is_and_no_circle() -> None:
    arrows = {
        path.name: {one or two for one, two in IMPORT.findall(path.read_text(encoding="utf-8"))}
        for path in FOLDER.glob("*.js")
    }
    assert set().union(*arrows.values()) < set(assets.TYPES)
    reached: set[str] = set()
    while ready := {name for name, needs in arrows.items() if needs <= reached} - reached:
        reached |= ready
    assert reached == set(arrows)
