"""What README and docs say: links lead somewhere, and commands do what they are said to do."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch

from lrn_deploy.cli import COMMANDS, cli, run
from lrn_deploy.images.examples import photographs
from lrn_deploy.models import ZOO
from tests.support.exported import exported

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")

READ_ONLY = {
    "deploy": "test_deploy.py runs it, and 'make demo' on AlexNet",
    "profile": "takes a minute; test_profile.py runs it",
    "tune": "takes minutes; test_tune.py runs it",
    "build-engine": "needs TensorRT, and without --target a GPU; integration/build_engine runs it",
    "serve": "does not end by itself; test_server*.py run it",
    "load": "needs a server; test_load.py runs it",
    "size": "needs a profile; test_size.py runs it",
    "import": "needs a trained network; test_import.py runs it",
    "push": "needs a store; test_stores.py runs it",
    "pull": "needs a store; test_stores.py runs it",
}
"""Commands of which only the line is read, by the command line's own parser."""


def links(page: Path) -> Iterator[str]:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for found in _LINK.finditer(text):
        target = found[1] or found[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def lines(page: Path) -> Iterator[list[str]]:
    """The command lines of ours in the page's blocks, without what runs in a shell of its own."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("lrn-deploy ", "lrn-server ")):
                yield shlex.split(line, comments=True)


def dead_links(page: Path) -> list[str]:
    found = []
    for target in links(page):
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, here\n[a](#a-title-here) [b](#other) [c](page.md) [d](no.md)\n")
    assert dead_links(page) == ["#other", "no.md"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the documents' command lines name."""
    folder = tmp_path_factory.mktemp("desk")
    exported("digits", folder / "digits")
    assert run(["validate", str(folder / "digits")]) == 0
    for name in ("alexnet", "my-alexnet", "alexnet-before", "net"):
        shutil.copytree(folder / "digits", folder / name)
    (folder / "photos").mkdir()
    for photo in photographs():
        photo.image.save(folder / "photos" / photo.name)
    torch.save({}, folder / "my-checkpoint.pt")
    (folder / "mynet.py").write_text("def build(): ...\n")
    for name in ("deploy.prototxt", "net.caffemodel", "mean.binaryproto", "synset_words.txt"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=" ".join(words)) for page in PAGES for words in lines(page)],
)
def test_every_command_line_works(
    desk: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    program, *arguments = words
    name = "serve" if program == "lrn-server" else arguments.pop(0)
    assert name in COMMANDS
    if name in READ_ONLY or "ray" in arguments:  # test_ray.py runs those on one cluster
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, arguments)
    else:
        assert run([name, *arguments]) == 0


def test_the_zoo_has_the_networks_that_the_documents_name() -> None:
    named = {
        words[2] for page in PAGES for words in lines(page) if words[1] in ("export", "deploy")
    }
    assert {name for name in named if ":" not in name} <= set(ZOO)
