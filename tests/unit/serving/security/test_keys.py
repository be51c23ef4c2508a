"""The file of keys: what stands in it, who can read it, and what two commands at once do to it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lrn_deploy.cli import run
from lrn_deploy.errors import BadInputError, CannotWriteError
from lrn_deploy.serving.security import keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_256_random_bits_of_which_the_file_has_the_digest_alone(file: Path) -> None:
    text, key = keys.add(file, "shop", ("infer",), 5)
    assert re.fullmatch(r"lrn_[A-Za-z0-9_-]{43}", text)  # 43 characters of 6 bits hold 256
    stored = json.loads(file.read_text())
    assert stored["keys"][0]["sha256"] == hashlib.sha256(text.encode()).hexdigest() == key.sha256
    assert text not in file.read_text()
    assert text.removeprefix("lrn_") not in file.read_text()
    assert keys.add(file, "other", ("infer",))[0] != text


def test_nobody_but_its_owner_can_read_the_file(file: Path) -> None:
    keys.add(file, "a", ("infer",))
    file.chmod(0o644)
    keys.add(file, "b", ("infer",))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_scopes_are_kept_once_and_in_order(file: Path) -> None:
    _, key = keys.add(file, "a", ("control", "infer", "control"))
    assert key.scopes == ("infer", "control")


def test_a_revoked_key_stays_in_the_file_and_its_name_is_free(file: Path) -> None:
    keys.add(file, "a", ("infer",))
    revoked = keys.revoke(file, "a")
    assert revoked.revoked is not None
    keys.add(file, "a", ("read",))
    assert [(key.name, key.revoked is None) for key in keys.read(file)] == [
        ("a", False),
        ("a", True),
    ]
    keys.revoke(file, "a")
    assert [key.revoked is None for key in keys.read(file)] == [False, False]


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [
        ("", None, "the name ''"),
        ("a b", None, "the name 'a b'"),
        ("../a", None, "the name '../a'"),
        ("a" * 65, None, "the name 'aaa"),
        ("a", 0.0, "the limit 0.0"),
        ("a", float("nan"), "the limit nan"),
    ],
)
def test_what_is_no_key_is_refused_and_no_file_is_made(
    file: Path, name: str, limit: float | None, said: str
) -> None:
    with pytest.raises(BadInputError, match=re.escape(said)):
        keys.add(file, name, ("infer",), limit)
    assert not file.exists()


def test_a_file_may_be_of_a_mebibyte(file: Path) -> None:
    keys.add(file, "a", ("infer",))
    text = file.read_bytes()
    file.write_bytes(text + b" " * (2**20 - len(text)))
    assert [key.name for key in keys.read(file)] == ["a"]
    for more in (1, 2, 1000):
        file.write_bytes(text + b" " * (2**20 - len(text) + more))
        with pytest.raises(BadInputError, match="more than 1,048,576 bytes"):
            keys.read(file)


def test_a_key_is_dated_to_the_second(file: Path) -> None:
    _, key = keys.add(file, "a", ("infer",))
    assert key.created.microsecond == 0
    assert abs((datetime.now(UTC) - key.created).total_seconds()) < 60
    revoked = keys.revoke(file, "a").revoked
    assert revoked is not None
    assert (revoked.microsecond, revoked >= key.created) == (0, True)


def test_of_several_keys_one_is_revoked_and_told(file: Path) -> None:
    for name in ("a", "b", "c"):
        keys.add(file, name, ("infer",))
    assert keys.revoke(file, "c").name == "c"
    first = keys.revoke(file, "a")
    keys.add(file, "a", ("read",))
    second = keys.revoke(file, "a")
    assert (first.scopes, second.scopes) == (("infer",), ("read",))
    assert [(key.name, key.revoked is None) for key in keys.read(file)] == [
        ("a", False), ("b", True), ("c", False), ("a", False),
    ]  # fmt: skip
    keys.revoke(file, "b")
    with pytest.raises(BadInputError, match="no key 'b' in use; there is none"):
        keys.revoke(file, "b")


def test_all_of_the_file_is_on_the_disk_before_it_takes_its_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    keys.add(file, "a", ("infer",))
    keys.revoke(file, "a")
    assert len(sizes) == 2
    assert 0 < sizes[0] < sizes[1] == len(file.read_bytes())


def test_what_cannot_be_written_leaves_the_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.add(file, "a", ("infer",))
    before = file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWriteError, match="No space left") as caught:
        keys.add(file, "b", ("infer",))
    assert caught.value.hint == "The file is as it was."
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]
    assert file.read_bytes() == before


def test_a_name_in_use_is_refused(file: Path) -> None:
    keys.add(file, "a", ("infer",))
    before = file.read_bytes()
    with pytest.raises(BadInputError, match="has a key called 'a'"):
        keys.add(file, "a", ("read",))
    with pytest.raises(BadInputError, match="no key 'b' in use; there is 'a'"):
        keys.revoke(file, "b")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "is no file of keys"),
        ('{"version": 2, "keys": []}', "version"),
        ('{"keys": [{"name": "a"}]}', "keys.0.sha256: Field required"),
        ('{"key": []}', "Extra inputs"),
    ],
)
def test_a_broken_file_is_refused_and_left_alone(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    for act in (
        lambda: keys.read(file),
        lambda: keys.add(file, "a", ("infer",)),
        lambda: keys.revoke(file, "a"),
    ):
        with pytest.raises(BadInputError, match=said):
            act()
    assert file.read_text() == text


def test_a_file_with_one_name_twice_is_refused(file: Path) -> None:
    keys.add(file, "a", ("infer",))
    record = json.loads(file.read_text())
    record["keys"] *= 2
    file.write_text(json.dumps(record))
    with pytest.raises(BadInputError, match="two keys called 'a'"):
        keys.read(file)


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(BadInputError, match="No such file"):
        keys.read(file)
    with pytest.raises(BadInputError, match="No such file"):
        keys.revoke(file, "a")
    with pytest.raises(CannotWriteError, match="No such file"):
        keys.add(file.parent / "none" / "keys.json", "a", ("infer",))


def test_commands_at_the_same_time_lose_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = threading.Semaphore(0)
    read = keys.read

    def slow(path: Path) -> tuple[keys.Key, ...]:
        found = read(path)
        inside.acquire(timeout=0.02)  # long enough for the others to come in, if they could
        return found

    keys.add(file, "first", ("infer",))
    monkeypatch.setattr(keys, "read", slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: keys.add(file, f"k{index}", ("infer",)), range(4)))
    assert sorted(key.name for key in read(file)) == ["first", "k0", "k1", "k2", "k3"]


def test_a_link_stays_one(file: Path, tmp_path: Path) -> None:
    keys.add(file, "a", ("infer",))
    link = tmp_path / "link.json"
    link.symlink_to(file)
    keys.add(link, "b", ("infer",))
    assert link.is_symlink()
    assert [key.name for key in keys.read(file)] == ["a", "b"]


def test_the_command_shows_a_key_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "add", str(file), "shop", "--scope", "infer", "--limit", "2.5"]) == 0
    shown = capsys.readouterr()
    text = shown.out.strip()
    assert keys.digest(text).hex() == keys.read(file)[0].sha256
    assert "not shown again" in shown.err
    assert run(["keys", "list", str(file)]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"shop +infer +2\.5 +\d{4}-\d\d-\d\d", listed)
    assert text not in listed
    assert keys.digest(text).hex() not in listed
    assert run(["keys", "revoke", str(file), "shop"]) == 0
    assert "'shop'" in capsys.readouterr().out
    assert run(["keys", "list", str(file), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["revoked"] is not None
    assert set(record) == {"name", "scopes", "limit", "created", "revoked"}


def test_the_command_says_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "list", str(file)]) == 2
    assert "No such file" in capsys.readouterr().err
    assert run(["keys", "add", str(file), "a", "--scope", "all"]) == 2
    assert run(["keys", "add", str(file), "a", "--limit", "0"]) == 2
    assert not file.exists()
