"""The house against its plan: the rooms' table of docs/architecture.md and the code's imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "lrn_deploy"
LINKED = ("models", "plugins")
"""Folders at the top of the repository that are linked into the package."""
GROUND = "errors"
"""The room that every other may know."""
MOST_MODULES = 15
MOST_LINES = 400


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its path below it: ``serving/http/head`` for instance."""
    found = {}
    for folder in (PACKAGE, *LINKED):
        for path in sorted((root / folder).rglob("*.py")):
            if folder == PACKAGE and path.relative_to(root).parts[1] in LINKED:
                continue
            below = root if folder in LINKED else root / PACKAGE
            name = path.relative_to(below).with_suffix("").as_posix()
            found[name.removesuffix("__init__").removesuffix("/")] = path
    return found


def imports(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The package's modules that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                wanted.append(inner if below_package(inner) in known else node.module)
        found |= {below_package(item) for item in wanted if item.split(".")[0] == PACKAGE}
    return {item for item in found if item in known} - {name, ""}  # "": the package's own face


def below_package(dotted: str) -> str:
    return "/".join(dotted.split(".")[1:])


def rooms(text: str) -> dict[str, set[str]]:
    """The table of the rooms, top row first: what each knows."""
    section = text.split("## The rooms", 1)[1].split("\n## ", 1)[0]
    table: dict[str, set[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([^`]+)`", cells[0])
        if len(cells) != 3 or not names:
            continue
        knows = set(re.findall(r"`([^`]+)`", cells[2]))
        for name in names:
            table[room_name(name)] = {room_name(item) for item in knows}
    return table


def room_name(written: str) -> str:
    return written.removesuffix("/").removesuffix(".py")


def room_of(module: str, table: Mapping[str, object]) -> str | None:
    """The row that a module belongs to: the longest that its path begins with."""
    fitting = [room for room in table if f"{module}/".startswith(f"{room}/")]
    return max(fitting, key=len, default=None)


def faults(root: Path, text: str) -> list[str]:
    """What does not agree, a sentence each."""
    table = rooms(text)
    order = list(table)
    known = modules(root)
    arrows = {name: imports(name, path, known) for name, path in known.items()}
    found = []
    for room, knows in table.items():
        for other in sorted(knows):
            if other not in table:
                found.append(f"{room} knows {other}, which is no room")
            elif order.index(other) >= order.index(room):
                found.append(f"{room} knows {other}, which stands above it")
    for name in arrows:
        room = room_of(name, table)
        if room is None:
            if name and (known[name].name != "__init__.py" or arrows[name]):
                found.append(f"{name} is in no room")
            continue
        for other in sorted(arrows[name]):
            target = room_of(other, table)
            if target not in (None, room, GROUND) and target not in table[room]:
                found.append(f"{name} imports {other}, but {room} does not know {target}")
    found += [f"a circle: {' -> '.join(circle)}" for circle in circles(arrows)]
    return found


def circles(arrows: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """One circle for each module from which an import leads back to itself."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            path.append(name)
            for other in sorted(arrows[name]):
                yield from visit(other)
            path.pop()
            done.add(name)

    for name in sorted(arrows):
        yield from visit(name)


@pytest.mark.usefixtures("unmeasured")
def test_the_code_is_as_the_table_of_rooms_says() -> None:
    assert faults(ROOT, (ROOT / "docs/architecture.md").read_text(encoding="utf-8")) == []


def test_no_command_imports_another() -> None:
    known = modules(ROOT)
    commands = {name for name in known if name.startswith("cli/") and name.count("/") == 1}
    assert len(commands) > 10
    for name in commands - {"cli/common"}:
        assert imports(name, known[name], known) & commands <= {"cli/common"}, name


def test_tests_lie_where_what_they_test_lies() -> None:
    """The folders of tests/unit are those of the package, and of benchmarks."""
    folders = {path.parent for path in modules(ROOT).values()}
    known = {folder.relative_to(ROOT).as_posix().removeprefix(f"{PACKAGE}/") for folder in folders}
    for test in (ROOT / "tests/unit").rglob("test_*.py"):
        folder = test.parent.relative_to(ROOT / "tests/unit").as_posix()
        assert folder in known | {".", "benchmarks"}, test


def test_no_folder_and_no_module_is_too_large() -> None:
    known = modules(ROOT)
    folders: dict[Path, int] = {}
    for name, path in known.items():
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, name
    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}


TABLE = """
## The rooms, from the bottom up

| room | what it is | knows |
|---|---|---|
| `ground.py` | | nothing |
| `middle/` | | `ground` |
| `top/` | | `middle/`, `ground.py` |
"""
SOUND = {
    "ground.py": "",
    "middle/one.py": "from lrn_deploy import ground\n",
    "middle/two.py": "import lrn_deploy.middle.one\n",
    "top/it.py": "from lrn_deploy.middle.two import x\n",
}


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({}, []),
        (
            {"ground.py": "def f():\n    from lrn_deploy.top import it\n"},
            [
                "ground imports top/it, but ground does not know top",
                "a circle: ground -> top/it -> middle/two -> middle/one -> ground",
            ],
        ),
        (
            {"middle/one.py": "from lrn_deploy.middle import two\n"},
            ["a circle: middle/one -> middle/two -> middle/one"],
        ),
        ({"new/it.py": ""}, ["new/it is in no room"]),
    ],
)
def test_an_arrow_back_up_a_circle_and_an_unknown_room_are_found(
    tmp_path: Path, planted: dict[str, str], said: list[str]
) -> None:
    for name, text in (SOUND | planted).items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert faults(tmp_path, TABLE) == said


def test_a_table_that_points_up_is_found(tmp_path: Path) -> None:
    (tmp_path / PACKAGE).mkdir()
    table = TABLE.replace("| nothing |", "| `top`, `cellar` |")
    assert faults(tmp_path, table) == [
        "ground knows cellar, which is no room",
        "ground knows top, which stands above it",
    ]
