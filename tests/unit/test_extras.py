"""What users are told to install, and that it is told in one place."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import lrn_deploy
from lrn_deploy import extras
from lrn_deploy.extras import install, install_package

PACKAGE = Path(lrn_deploy.__file__).parent
ROOT = Path(__file__).parents[2]
METADATA = """Metadata-Version: 2.4
Name: lrn-deploy
Version: 1.0
Provides-Extra: export
Provides-Extra: plugins
Requires-Dist: numpy>=1.26
Requires-Dist: torch>=2.11; extra == "export"
Requires-Dist: onnxscript>=0.5 ; extra == 'export'
Requires-Dist: torch>=2.11; extra == "plugins"
Requires-Dist: triton>=3.6; sys_platform == "linux" and extra == "plugins"
"""


def installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, direct_url: str | None
) -> metadata.Distribution:
    """An installation of the package whose record says where it came from."""
    info = folder / "lrn_deploy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    if direct_url is not None:
        (info / "direct_url.json").write_text(direct_url)
    distribution = metadata.Distribution.at(info)
    monkeypatch.setattr(metadata, "distribution", lambda _name: distribution)
    return distribution


def test_an_editable_checkout_is_installed_again_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = '{"dir_info": {"editable": true}, "url": "file:///home/a%20b/lrn"}'
    installed(tmp_path, monkeypatch, record)
    assert install("export") == "pip install -e '/home/a b/lrn[export]'"
    assert install("export", "plugins") == "pip install -e '/home/a b/lrn[export,plugins]'"


@pytest.mark.parametrize(
    "record",
    [
        '{"archive_info": {}, "url": "file:///tmp/lrn_deploy-1.0-py3-none-any.whl"}',
        '{"dir_info": {}, "url": "file:///home/lrn"}',
        None,
    ],
    ids=["wheel", "folder", "index"],
)
def test_any_other_installation_gets_what_the_extra_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str | None
) -> None:
    installed(tmp_path, monkeypatch, record)
    assert install("export") == "pip install 'torch>=2.11' 'onnxscript>=0.5'"
    both = "pip install 'torch>=2.11' 'onnxscript>=0.5' 'triton>=3.6'"
    assert install("export", "plugins") == both


def test_without_an_installation_the_checkout_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", fail)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "_ROOT", tmp_path)
    assert install("cpu") == f"pip install -e '{tmp_path}[cpu]'"
    monkeypatch.setattr(extras, "_ROOT", tmp_path / "one-file")
    assert install("cpu") == "pip install -e '.[cpu]' in a checkout of lrn-deploy"


def test_an_extra_that_the_package_lacks_is_a_bug_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, None)
    with pytest.raises(ValueError, match="no extra gpus"):
        install("gpus")


def test_a_package_is_named_with_its_version() -> None:
    assert install_package("tensorrt-rtx==1.7.1") == "pip install tensorrt-rtx==1.7.1"


@functools.cache
def program(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def written_out(source: ast.Module) -> list[int]:
    """Lines of the strings in a program that tell users themselves what to install."""
    return [
        node.lineno
        for node in ast.walk(source)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"pip3? install|lrn-deploy\[", node.value)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "f('Install it with: ' 'pip install x')",
        "f'pip install {x}'",
        'HINT = """Get\nlrn-deploy[cpu]"""',
    ],
)
def test_such_a_string_is_found(source: str) -> None:
    assert written_out(ast.parse(source)) == [1]


ELSEWHERE = (
    PACKAGE / "package" / "container.py",
    PACKAGE / "package" / "triton" / "models" / "images.py",
    PACKAGE / "package" / "triton" / "models" / "network.py",
)
"""These speak of another installation than the one that runs: an image's, and Triton's Python."""


@pytest.mark.usefixtures("unmeasured")
def test_only_one_module_tells_what_to_install() -> None:
    files = [
        file
        for folder in (PACKAGE, PACKAGE / "models", PACKAGE / "plugins")  # links are not followed
        for file in folder.rglob("*.py")
    ]
    assert len(files) > 150
    told = [
        f"{file}:{line}"
        for file in files
        if file not in (PACKAGE / "extras.py", *ELSEWHERE)
        for line in written_out(program(file))
    ]
    assert told == []


@pytest.mark.usefixtures("unmeasured")
def test_every_extra_that_the_package_asks_for_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {
        argument.value
        for folder in (PACKAGE, PACKAGE / "plugins")
        for file in folder.rglob("*.py")
        for node in ast.walk(program(file))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert {"export", "cpu", "gpu", "otel", "plugins", "serve"} <= asked
    assert asked <= set(project["optional-dependencies"])
