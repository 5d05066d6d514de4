"""The look of the page: one style sheet, dark and light by what the reader's system prefers."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2430; --soft: #566273; --line: #dde2e9; --idle: #dfe4ea;
  --good: #1a7f4b; --bad: #b3261e; --mark: #0b6bcb; --band: #0b6bcb26;
  --cause0: #0072b2; --cause1: #d1720a; --cause2: #00876c; --cause3: #a3478c; --wrong: #c62828;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151b; --card: #1a2029; --ink: #e8ecf2; --soft: #9aa7b8; --line: #2d3643; --idle: #323c4a;
    --good: #5fd39a; --bad: #ff8a80; --mark: #6cb6ff; --band: #6cb6ff26;
    --cause0: #56b4e9; --cause1: #f0a848; --cause2: #3fcfae; --cause3: #dd8fc6; --wrong: #ff6b60;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: .95rem; margin: 0 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 75ch; }
.soft, figcaption { color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .9rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: .75rem; }
.card { margin: 0 0 .75rem; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: .42rem .7rem .42rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
td.n, th.n { text-align: right; white-space: nowrap; }
th[scope=row] { font-weight: 600; } td a, th a { color: inherit; text-underline-offset: 3px; }
section { scroll-margin-top: 1rem; }
figure { margin: 0; } figcaption { font-size: .85rem; margin-top: .4rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--soft); }
svg .place { font-size: 10px; } svg .note { fill: var(--ink); }
.rack { stroke: var(--idle); stroke-width: 6; fill: none; }
.grid { stroke: var(--line); } .bound { stroke: var(--soft); stroke-dasharray: 4 3; }
.line { fill: none; stroke: var(--mark); stroke-width: 2; stroke-linejoin: round; }
.band { fill: var(--band); } .dot { fill: var(--mark); }
.cause0 { fill: var(--cause0); } .cause1 { fill: var(--cause1); } .cause2 { fill: var(--cause2); }
.cause3 { fill: var(--cause3); } .wrong { fill: var(--wrong); }
.ring { fill: none; stroke: var(--ink); stroke-width: 1.2; }
.cross { stroke: var(--card); stroke-width: 1.2; fill: none; }
.key { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em; }
.key { background: currentColor; }
.key.cause0 { color: var(--cause0); } .key.cause1 { color: var(--cause1); } .key.cause2 { color: var(--cause2); }
.key.cause3 { color: var(--cause3); } .key.wrong { color: var(--wrong); }
details > summary { cursor: pointer; color: var(--soft); }
pre { overflow-x: auto; font-size: .8rem; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em; }
@media print { main { max-width: none; padding: 0; } section { break-inside: avoid; } }
"""
