"""The style sheet of the page: light and dark, for screens of any width and for paper."""

from __future__ import annotations

LIGHT = {
    "page": "#f7f8f8",
    "card": "#ffffff",
    "ink": "#1c2126",
    "soft": "#57616c",
    "rule": "#dde2e6",
    "track": "#eceff1",
    "edge": "#8a949e",
    "pass": "#177245",
    "limited": "#8a5c00",
    "fail": "#b8283a",
    "skipped": "#5f6974",
    "s0": "#0b62bb",
    "s1": "#b34700",
    "s2": "#177245",
    "s3": "#7a2ee6",
    "s4": "#a61f66",
    "s5": "#006d7c",
    "s6": "#6b5d00",
    "s7": "#59636e",
    "drift0": "#cfe3f7",
    "drift1": "#98c4ee",
    "drift2": "#559cdd",
    "drift3": "#1a66b4",
    "time0": "#e3d9f3",
    "time1": "#c6b0e8",
    "time2": "#a27cd6",
    "time3": "#7a4cbe",
    "time4": "#4c2191",
}
"""Colours by name. ``drift`` and ``time`` go from little to much; over budget is ``fail``."""

DARK = {
    "page": "#14171a",
    "card": "#1b1f23",
    "ink": "#e6e9ec",
    "soft": "#a3adb7",
    "rule": "#343b42",
    "track": "#272d33",
    "edge": "#7d8894",
    "pass": "#4cc38a",
    "limited": "#e0b040",
    "fail": "#ff7b84",
    "skipped": "#9aa5b0",
    "s0": "#6cb6ff",
    "s1": "#ff9d5c",
    "s2": "#4cc38a",
    "s3": "#c297ff",
    "s4": "#ff8ac4",
    "s5": "#4fd1e0",
    "s6": "#d9c65a",
    "s7": "#aab4be",
    "drift0": "#203a54",
    "drift1": "#2b5a88",
    "drift2": "#4389c9",
    "drift3": "#8ec6ff",
    "time0": "#382c50",
    "time1": "#543f82",
    "time2": "#7c5fbe",
    "time3": "#aa8cea",
    "time4": "#dfcdff",
}
"""The same on a dark ground."""


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def _marks(kind: str, names: dict[str, str]) -> str:
    """Rules that give SVG marks of a kind their colours."""
    return " ".join(f".{kind}.{name} {{ fill: var(--{key}); }}" for name, key in names.items())


_HEAT = {
    **{f"drift{at}": f"drift{at}" for at in range(4)},
    **{f"time{at}": f"time{at}" for at in range(5)},
    "drift4": "fail",
    "limited": "limited",
}
_BARS = {"pass": "pass", "limited": "limited", "fail": "fail", "skipped": "skipped"}
_BARS |= {"unjudged": "skipped", "layer": "s0", "lrn": "s1", "rest": "s7"}

_SCREEN = """
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word;
}
main { max-width: 1040px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: .95rem; margin: 1.3rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 80ch; overflow-wrap: anywhere; }
ul { margin: .4rem 0; padding-left: 1.2rem; }
li { margin: .2rem 0; max-width: 90ch; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .9em; }
a { color: var(--s0); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
.soft, .on { color: var(--soft); } .lead { font-size: 1.05rem; }
.on { display: block; font-size: .93em; }
.rank { color: var(--soft); font-variant-numeric: tabular-nums; }
.answers { display: grid; gap: 12px; margin-top: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); }
.answer, .table, figure.network, .charts > div {
  background: var(--card); border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
.answer { border-top: 4px solid var(--state, var(--s0)); padding: 12px 16px; }
.answer h2 { font-size: .9rem; font-weight: 600; color: var(--soft); margin: 0; }
.answer strong { display: block; font-size: 1.55rem; line-height: 1.25; margin: .1rem 0 .3rem;
  color: var(--state, var(--ink)); overflow-wrap: anywhere; }
.answer small { font-size: .95rem; font-weight: 600; }
.answer strong > small:not(.unit) { display: block; }
.answer p { font-size: .9rem; }
.answer.pass { --state: var(--pass); } .answer.fail { --state: var(--fail); }
.answer.limited { --state: var(--limited); } .answer.skipped { --state: var(--skipped); }
.state { font-weight: 600; white-space: nowrap; }
.state.pass { color: var(--pass); } .state.fail { color: var(--fail); }
.state.limited { color: var(--limited); }
.state.skipped, .state.unjudged { color: var(--skipped); }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 2rem; padding: 8px 0;
  border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule); font-size: .9rem; }
nav a { padding: 3px 0; }

.table { margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { padding: 6px 10px; text-align: left; vertical-align: baseline; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--rule); }
tbody th { font-weight: 600; min-width: 11ch; } .place .on { font-weight: 400; display: inline; }
tbody th, td { border-top: 1px solid var(--rule); overflow-wrap: anywhere; }
tbody tr:first-child > * { border-top: 0; }
th.num, td.num { text-align: right; font-variant-numeric: tabular-nums; }
td.num, .keep, td code { white-space: nowrap; overflow-wrap: normal; }

figure { margin: 0; max-width: 500px; }
figcaption { font-size: .85rem; color: var(--soft); overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
figure.network { max-width: none; padding: 12px; margin: .8rem 0; }
.strip { list-style: none; display: grid; gap: 8px 2px; margin: 10px 0 12px; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(42px, 1fr)); }
.strip.dense { grid-template-columns: repeat(auto-fill, minmax(16px, 1fr)); gap: 8px 1px; }
.strip li { margin: 0; min-width: 0; max-width: none; font-size: 11px; line-height: 14px;
  text-align: center; }
.strip svg { display: block; }
.kind { display: block; height: 16px; font-size: 10px; color: var(--soft); overflow: hidden;
  white-space: nowrap; text-overflow: clip; }
.kind.lrn { background: var(--s1); color: var(--card); font-weight: 700; font-size: 11px;
  border-radius: 3px; }
.strip .name { display: block; margin-top: 2px; overflow-wrap: anywhere; }
.strip .lanes { display: flex; flex-direction: column; gap: 6px; padding-top: 16px;
  color: var(--soft); text-align: left; }
.lanes span { height: 30px; line-height: 30px; }
.strip.dense .lanes { grid-column: span 3; }
.strip.dense .wide { grid-column: span 2; }
.track { fill: var(--track); }
.track.nothing { fill: none; stroke: var(--edge); stroke-dasharray: 2 4; }
.sign { fill: var(--card); font-size: 15px; font-weight: 700; }
.heat { stroke: var(--edge); stroke-width: .5; }
.keys { display: flex; flex-wrap: wrap; gap: 6px 22px; font-size: .8rem; color: var(--soft); }
.key { display: inline-flex; align-items: center; gap: 7px; }
.key b { color: var(--ink); font-size: 14px; }
.key .kind.lrn { padding: 0 5px; line-height: 16px; font-size: 11px; }
.swatches { display: inline-flex; gap: 1px; text-align: center; font-size: 11px; }
.swatch { display: block; width: 34px; height: 9px; border: 1px solid var(--edge); }
.key .nothing { width: 20px; height: 12px; border: 1px dashed var(--edge); }

.charts { display: grid; gap: 16px; margin: .6rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.charts > div:only-child { max-width: 470px; }
.charts > div { padding: 10px 12px; }
.charts h3 { margin-top: 0; }
.legend { display: inline-flex; align-items: center; gap: 6px; margin-right: 14px; }
.legend svg { width: 22px; height: 10px; flex: none; }
.chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--soft); font-size: 12px; font-family: inherit; }
.chart text.name { fill: var(--ink); }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.budget { width: 120px; height: 14px; display: inline-block; vertical-align: middle; }
.line.front { color: var(--soft); }
.spot { fill: var(--s0); stroke: var(--s0); stroke-width: 2; }
.spot.chosen { fill: var(--pass); stroke: var(--pass); } .spot.beyond { fill: var(--card); }
.limit { stroke: var(--ink); stroke-width: 1.5; }
.strip .limit { stroke-width: 1; stroke-dasharray: 3 2; }
.dashed, .dashed polyline, .dashed line { stroke-dasharray: 5 4; }
.line polyline, .line line { fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linejoin: round; }
.dot { fill: currentColor; }
.dot.limited, .dot.fail { stroke-width: 2; fill: var(--card); }
.dot.limited { stroke: var(--limited); } .dot.fail { stroke: var(--fail); }
.whisker { stroke: var(--soft); stroke-width: 1.5; }
.box { fill: var(--s0); fill-opacity: .35; stroke: var(--s0); }
.median { stroke: var(--s0); stroke-width: 3; }
.floor { stroke: var(--s2); stroke-width: 2; stroke-dasharray: 2 2; }
.chart text.far { fill: var(--soft); font-size: 16px; }

dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--soft); padding: 4px 0; overflow-wrap: anywhere; }
summary:hover { color: var(--ink); }
footer { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: .8rem;
  color: var(--soft); font-size: .85rem; }
"""

_NARROW = """
@media screen and (max-width: 640px) {
  main { padding: 16px 12px 32px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 6px; }
  .charts > div { padding: 8px; } .chart text { font-size: 13px; }
  table, tbody, tbody th { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; gap: 1px 22px; padding: 7px 12px 9px; }
  tr + tr { border-top: 1px solid var(--rule); }
  tbody th, td { border: 0; padding: 1px 0; }
  tbody th, tbody th.num { flex: 1 1 100%; text-align: left; font-size: .95rem; }
  td { flex: 1 1 calc(50% - 11px); text-align: right; display: flex; flex-wrap: wrap;
    justify-content: flex-end; gap: 0 8px; }
  td::before { content: attr(data-title); color: var(--soft); margin-right: auto;
    text-align: left; white-space: normal; overflow-wrap: anywhere; }
  td.long, td:has(.on) { flex-basis: 100%; }
  .strip li { font-size: 10px; }
}
"""

_PAPER = """
@media print {
  :root { --page: #fff; font-size: 12px; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  .answers { grid-template-columns: repeat(3, 1fr); }
  nav { display: none; }
  table { font-size: 8pt; } th, td { padding: 3px 5px; }
  .budget { width: 80px; }
  .charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
  figure, tr, .answer, .charts > div, .strip li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

CSS = "\n".join(
    (
        f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}",
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}",
        _SCREEN,
        _marks("bar", _BARS),
        _marks("heat", _HEAT),
        " ".join(f".swatch.{name} {{ background: var(--{key}); }}" for name, key in _HEAT.items()),
        " ".join(f".s{at} {{ color: var(--s{at}); }}" for at in range(8)),
        _NARROW,
        _PAPER,
    )
)
"""All of it; paper is light whatever the screen is."""
