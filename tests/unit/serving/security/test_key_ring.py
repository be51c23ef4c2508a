"""Which keys a running server takes, how they are compared, and when a change is taken up."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest

from lrn_deploy.errors import BadInputError
from lrn_deploy.serving.errors import RequestError, TooManyError
from lrn_deploy.serving.security import keys
from lrn_deploy.serving.security.key_ring import KeyRing
from lrn_deploy.serving.security.scopes import Scope


class Ring:
    """A key of each scope, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys.json"
        self.said: list[str] = []
        self.texts = {
            scope: keys.add(self.file, f"for-{scope}", (scope,))[0]
            for scope in ("infer", "read", "control")
        }
        self.ring = KeyRing(self.file, self.said.append)

    def ask(self, sent: str | None, scope: Scope = "infer") -> tuple[int, str, str]:
        """The status, the sentence and the challenge."""
        headers = {} if sent is None else {"authorization": sent}
        try:
            return 200, self.ring.admit(headers, scope).name, ""
        except RequestError as error:
            return error.status, error.message, dict(error.headers).get("www-authenticate", "")


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)


def test_a_key_lets_in_what_its_scope_is_for_and_nothing_else(ring: Ring) -> None:
    for owned, text in ring.texts.items():
        for asked in ("infer", "read", "control"):
            status, said, challenge = ring.ask(f"Bearer {text}", asked)  # type: ignore[arg-type]  # a scope that hypothesis drew
            if owned == asked:
                assert (status, said) == (200, f"for-{owned}")
            else:
                assert (status, said) == (
                    403,
                    f"This needs a key with the scope '{asked}'; 'for-{owned}' has {owned}.",
                )
                assert f'error="insufficient_scope", scope="{asked}"' in challenge


def test_without_a_key_that_is_known_nobody_is_let_in(ring: Ring) -> None:
    good = ring.texts["infer"]
    status, said, challenge = ring.ask(None)
    assert (status, said) == (
        401,
        "This needs an API key; send it as 'Authorization: Bearer KEY'.",
    )
    assert challenge == 'Bearer realm="lrn-server", scope="infer"'
    for wrong in (
        "Bearer " + good[:-1],
        "Bearer " + good + "A",
        "Bearer " + good.swapcase(),
        "Bearer lrn_",
        "Bearer \xe9\ud800",
        "Bearer " + json.loads(ring.file.read_text())["keys"][0]["sha256"],  # what leaks is no key
        f"Bearer {good}, Bearer {good}",
        "Bearer",
        "Bearer  ",
        f"Basic {good}",
        good,
        "",
    ):
        status, _, challenge = ring.ask(wrong)
        assert (status, 'error="invalid_token"' in challenge) == (401, True), wrong
    for right in (f"bearer {good}", f"BEARER   {good} "):  # RFC 9110, 11.1: in any case
        assert ring.ask(right)[0] == 200


def test_each_key_is_compared_wholly_whichever_it_is(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    stored = [key.sha256 for key in keys.read(ring.file)]
    for text in (*ring.texts.values(), "lrn_wrong"):
        compared.clear()
        ring.ask(f"Bearer {text}")
        assert [one.hex() for one, _ in compared] == stored
        assert {other for _, other in compared} == {keys.digest(text)}


def test_a_revoked_key_is_out_at_the_next_look_and_is_told_so(ring: Ring) -> None:
    text = ring.texts["infer"]
    keys.revoke(ring.file, "for-infer")
    assert ring.ask(f"Bearer {text}")[0] == 200  # nobody has looked yet
    ring.ring.look()
    status, said, _ = ring.ask(f"Bearer {text}")
    assert (status, "'for-infer' was revoked on 20" in said) == (401, True)
    assert ring.said == ["The keys were read anew: 2 in use."]
    assert ring.ask(f"Bearer {ring.texts['read']}", "read")[0] == 200
    text, _ = keys.add(ring.file, "for-infer", ("infer",))
    ring.ring.look()
    assert ring.ask(f"Bearer {text}")[0] == 200


def test_a_file_that_breaks_leaves_the_keys_as_they_were(ring: Ring) -> None:
    whole = ring.file.read_text()
    for broken in ("", "{", whole[:-20]):
        ring.file.write_text(broken)
        ring.ring.look()
        ring.ring.look()  # what has not changed since is not read, nor told, again
        assert ring.ask(f"Bearer {ring.texts['infer']}")[0] == 200
    ring.file.unlink()
    ring.ring.look()
    assert ring.ask(f"Bearer {ring.texts['infer']}")[0] == 200
    assert len(ring.said) == 4
    assert all(said.startswith("Warning: the keys stay as they were: ") for said in ring.said)
    ring.file.write_text(whole.replace("for-infer", "renamed"))
    ring.ring.look()
    assert ring.ask(f"Bearer {ring.texts['infer']}") == (200, "renamed", "")


def test_a_broken_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="No such file"):
        KeyRing(tmp_path / "none.json", print)


def test_a_limit_that_changes_begins_anew(ring: Ring) -> None:
    limited, _ = keys.add(ring.file, "limited", ("infer",), limit=0.001)
    ring.ring.look()
    headers = {"authorization": f"Bearer {limited}"}
    ring.ring.admit(headers, "infer")
    record = json.loads(ring.file.read_text())
    record["keys"][-1]["limit"] = 0.002
    ring.file.write_text(json.dumps(record))
    ring.ring.look()
    ring.ring.admit(headers, "infer")
    with pytest.raises(TooManyError, match=r"this key may send 0\.002 a second"):
        ring.ring.admit(headers, "infer")
    record["keys"][-1]["limit"] = None
    ring.file.write_text(json.dumps(record))
    ring.ring.look()
    for _ in range(100):
        ring.ring.admit(headers, "infer")


def test_what_was_let_in_may_go_on_while_its_key_allows_it(ring: Ring) -> None:
    headers = {"authorization": f"Bearer {ring.texts['read']}"}
    assert ring.ring.allows(headers, "read")
    assert not ring.ring.allows(headers, "infer")
    assert not ring.ring.allows({}, "read")


def test_a_limit_is_the_keys_own_and_outlives_a_change_of_the_file(ring: Ring) -> None:
    limited, _ = keys.add(ring.file, "limited", ("infer",), limit=0.001)
    ring.ring.look()
    headers = {"authorization": f"Bearer {limited}"}
    ring.ring.admit(headers, "infer")
    keys.add(ring.file, "another", ("infer",))
    ring.ring.look()
    with pytest.raises(TooManyError, match=r"this key may send 0\.001 a second"):
        ring.ring.admit(headers, "infer")
    assert ring.ring.refused == 1
    assert ring.ring.allows(headers, "infer")  # a stream that was let in costs nothing more
    for _ in range(100):
        assert ring.ask(f"Bearer {ring.texts['infer']}")[0] == 200
