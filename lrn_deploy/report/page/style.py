"""The style sheet of the page: light and dark, for screens of any width and for paper."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c2126; --soft: #5b6570; --rule: #dfe3e6;
  --track: #e9ecee; --pass: #1a7f4b; --limited: #9a6700; --fail: #c22f3d; --skipped: #6b7580;
  --s0: #0b6bcb; --s1: #c2500a; --s2: #1a7f4b; --s3: #8a3ffc;
  --s4: #b0256f; --s5: #00798c; --s6: #7a6a00; --s7: #59636e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1b1f23; --ink: #e6e9ec; --soft: #9aa5b0; --rule: #32393f;
    --track: #2b3137; --pass: #4cc38a; --limited: #e0b040; --fail: #ff7b84; --skipped: #8d98a3;
    --s0: #6cb6ff; --s1: #ff9d5c; --s2: #4cc38a; --s3: #c297ff;
    --s4: #ff8ac4; --s5: #4fd1e0; --s6: #d9c65a; --s7: #aab4be;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 1040px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: .95rem; margin: 1.1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 75ch; overflow-wrap: anywhere; }
ul { margin: .4rem 0; padding-left: 1.2rem; }
li { margin: .2rem 0; max-width: 90ch; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .9em; }
.soft { color: var(--soft); }
.verdict {
  border: 1px solid var(--rule); border-left: 6px solid var(--state); background: var(--card);
  border-radius: 6px; padding: 12px 16px; margin: 16px 0 0;
}
.verdict strong { color: var(--state); font-size: 1.25rem; letter-spacing: .02em; }
.verdict.pass { --state: var(--pass); } .verdict.fail { --state: var(--fail); }
.verdict.limited { --state: var(--limited); } .verdict.skipped { --state: var(--skipped); }
.state { font-weight: 600; white-space: nowrap; }
.state.pass { color: var(--pass); } .state.fail { color: var(--fail); }
.state.limited { color: var(--limited); }
.state.skipped, .state.unjudged { color: var(--skipped); }
.scroll { overflow-x: auto; margin: .5rem 0; border: 1px solid var(--rule); border-radius: 6px;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { padding: 6px 12px; text-align: left; vertical-align: baseline; }
th { color: var(--soft); font-weight: 600; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
td { border-top: 1px solid var(--rule); white-space: nowrap; }
td.long { white-space: normal; min-width: 15ch; overflow-wrap: anywhere; }
td.text { min-width: 30ch; }
tbody tr:first-child td { border-top: 0; }
th.num, td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td code { white-space: nowrap; }
.keep { white-space: nowrap; }
.charts { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.charts > div:only-child { max-width: 528px; }
.charts > div { border: 1px solid var(--rule); border-radius: 6px; background: var(--card);
  padding: 10px 12px; min-width: 0; }
.charts h3 { margin-top: 0; }
figure { margin: 0; max-width: 500px; }
figcaption { font-size: .82rem; color: var(--soft); overflow-wrap: anywhere; }
.legend { display: inline-flex; align-items: center; gap: 6px; margin-right: 14px; }
.key { width: 22px; height: 10px; flex: none; }
.chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--soft); font-size: 12px; font-family: inherit; }
.chart text.name { fill: var(--ink); }
.chart .grid { stroke: var(--rule); stroke-width: 1; }
.budget { width: 120px; height: 14px; display: inline-block; vertical-align: middle; }
.track { fill: var(--track); }
.bar.pass { fill: var(--pass); } .bar.limited { fill: var(--limited); }
.bar.fail { fill: var(--fail); } .bar.skipped, .bar.unjudged { fill: var(--skipped); }
.bar.layer { fill: var(--s0); } .bar.lrn { fill: var(--s1); } .bar.rest { fill: var(--s7); }
.line.front { color: var(--soft); }
.spot { fill: var(--s0); stroke: var(--s0); stroke-width: 2; }
.spot.chosen { fill: var(--pass); stroke: var(--pass); } .spot.beyond { fill: var(--card); }
.limit { stroke: var(--ink); stroke-width: 1.5; }
.dashed, .dashed polyline, .dashed line { stroke-dasharray: 5 4; }
.line polyline, .line line { fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linejoin: round; }
.dot { fill: currentColor; }
.dot.limited, .dot.fail { stroke-width: 2; fill: var(--card); }
.dot.limited { stroke: var(--limited); } .dot.fail { stroke: var(--fail); }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
.s3 { color: var(--s3); } .s4 { color: var(--s4); } .s5 { color: var(--s5); }
.s6 { color: var(--s6); } .s7 { color: var(--s7); }
.whisker { stroke: var(--soft); stroke-width: 1.5; }
.box { fill: var(--s0); fill-opacity: .35; stroke: var(--s0); }
.median { stroke: var(--s0); stroke-width: 3; }
.floor { stroke: var(--s2); stroke-width: 2; stroke-dasharray: 2 2; }
.chart text.far { fill: var(--soft); font-size: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--soft); padding: 4px 0; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: .8rem;
  color: var(--soft); font-size: .85rem; }
@media (max-width: 520px) {
  main { padding: 16px 12px 32px; }
  th, td { padding: 5px 8px; }
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--card); }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 6px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --track: #e4e4e4;
    --pass: #1a7f4b; --limited: #9a6700; --fail: #c22f3d; --skipped: #6b7580;
    --s0: #0b6bcb; --s1: #c2500a; --s2: #1a7f4b; --s3: #8a3ffc;
    --s4: #b0256f; --s5: #00798c; --s6: #7a6a00; --s7: #59636e; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  .scroll { overflow: visible; border: 0; }
  table { font-size: 8pt; } th, td { padding: 3px 5px; white-space: normal; }
  td.long { min-width: 0; } .budget { width: 80px; }
  .charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
  figure, tr, .verdict, .charts > div { break-inside: avoid; } h2, h3 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
