"""Elements, escaping, and numbers as people and programs read them."""

from __future__ import annotations

import pytest

from lrn_deploy.report.markup import EMPTY, Markup, el, join, milliseconds, number, short, table


def test_text_is_escaped_once_and_markup_is_not() -> None:
    inner = el("b", "<i> & 'x'")
    assert inner == "<b>&lt;i&gt; &amp; &#x27;x&#x27;</b>"
    assert el("p", inner, None, 3) == f"<p>{inner}3</p>"


def test_attributes_are_escaped_and_named_as_in_html() -> None:
    assert (
        el("a", class_='"><script>', text_anchor="end", x=1.50001, id_=None)
        == '<a class="&quot;&gt;&lt;script&gt;" text-anchor="end" x="1.5"></a>'
    )


def test_empty_elements_have_no_end_tag() -> None:
    assert "meta" in EMPTY
    assert el("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_joining_plain_strings_escapes_them() -> None:
    assert join("<", Markup("<br>")) == "&lt;<br>"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (2.4123e-7, "2.4e-07"),
        (0.25, "0.25"),
        (9.1, "9.1"),
        (123.0, "1.2e+02"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_short_numbers(value: float, shown: str) -> None:
    assert short(value) == shown


def test_a_number_carries_its_exact_value() -> None:
    assert number(0.1234567) == '<data value="0.1234567">0.12</data>'
    assert number(None) == "-"


def test_milliseconds_show_three_digits_and_keep_seconds() -> None:
    assert milliseconds(0.00123456) == '<data value="0.00123456">1.23</data>'
    assert milliseconds(1.5) == '<data value="1.5">1500</data>'
    assert milliseconds(None) == "-"


def test_only_long_text_may_wrap_in_a_table() -> None:
    whole = table(("a", "b"), [("short", "w" * 20), ("x" * 60, el("b", "y" * 90))])
    assert "<td>short</td>" in whole
    assert f'<td class="long">{"w" * 20}</td>' in whole
    assert f'<td class="long text">{"x" * 60}</td>' in whole
    assert "<td><b>" in whole
