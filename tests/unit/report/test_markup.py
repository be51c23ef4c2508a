"""Elements, escaping, and numbers as people and programs read them."""

from __future__ import annotations

import pytest

from lrn_deploy.report.markup import (
    EMPTY,
    Markup,
    el,
    join,
    milliseconds,
    not_run,
    number,
    percent,
    short,
    table,
)


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


def test_cells_carry_the_titles_of_their_columns_for_the_cards_of_narrow_screens() -> None:
    whole = table(("name", "ms <"), [("a", "1"), ("b", number(2.0))], right=(1,))
    assert whole.count('data-title="ms &lt;"') == 2
    assert whole.count('scope="col"') == 2
    assert [part.partition("<")[0] for part in whole.split('role="rowheader">')[1:]] == ["a", "b"]
    assert '<td class="num" role="cell" data-title="ms &lt;">1</td>' in whole


def test_what_was_not_run_is_counted_and_each_reason_is_told_once() -> None:
    entries = [("a", "no GPU <"), ("b", "no GPU <"), ("a", "no GPU <"), ("c", "")]
    drawn = not_run("not checked", entries)
    assert drawn.startswith('<details class="unrun"><summary>3 not checked</summary>')
    assert drawn.count("no GPU &lt;") == 1
    assert "<b>a, b</b>" in drawn
    assert "<b>c</b>: no reason given" in drawn
    assert not_run("not checked", []) == ""


@pytest.mark.parametrize(
    ("part", "shown"),
    [(0.0, "0%"), (0.2143, "21%"), (0.1, "10%"), (0.00123, "0.12%"), (1.5, "150%")],
)
def test_parts_in_percent(part: float, shown: str) -> None:
    assert percent(part) == shown
