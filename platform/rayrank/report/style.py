"""How the page looks: system type, one accent, light and dark."""

# The accents are blue, orange and green of Okabe and Ito, told apart by colour-blind readers too;
# no meaning rests on colour alone.
CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --muted: #59636e; --rule: #d5dae0; --grid: #e9ecef;
  --tint: #f5f7f9; --first: #0072b2; --second: #b35400; --third: #00785a; --faint: #a9cfe6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ec; --muted: #9aa5b1; --rule: #38414b; --grid: #272e36;
    --tint: #1b2027; --first: #56b4e9; --second: #f0a030; --third: #2fc29a; --faint: #2d5876;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .35rem; padding-top: 1.1rem;
     border-top: 1px solid var(--rule); }
p { margin: 0 0 1rem; max-width: 44rem; }
header p, .how, footer { color: var(--muted); }
.tiles { display: grid; gap: .75rem; margin: 1.75rem 0 0; padding: 0; list-style: none;
         grid-template-columns: repeat(3, 1fr); }
.tiles li { background: var(--tint); border-radius: .5rem; padding: .85rem 1rem; }
.tiles b { display: block; font-size: 1.75rem; line-height: 1.25; font-weight: 650;
           letter-spacing: -.01em; }
.tiles span { display: block; font-size: .85rem; color: var(--muted); line-height: 1.4; }
.tiles .name { color: var(--ink); font-weight: 600; }
.figures { display: grid; gap: 1.5rem 2rem; align-items: start; margin: 1.25rem 0;
           grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; max-width: 36rem; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; font-size: 12px;
      font-family: inherit; }
svg text { fill: var(--ink); }
svg .tick, svg .label { fill: var(--muted); }
.grid { stroke: var(--grid); }
.axis { stroke: var(--muted); }
.limit { stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 5 4; }
.mark { stroke: var(--second); stroke-width: 1.5; stroke-dasharray: 2 3; }
.bar { fill: var(--first); }
.faint { fill: none; stroke: var(--faint); stroke-width: 1; }
.series { fill: none; stroke-width: 2.25; stroke-linejoin: round; }
.series.first { stroke: var(--first); }
.series.second { stroke: var(--second); stroke-dasharray: 7 3; }
.series.third { stroke: var(--third); stroke-dasharray: 2 3; }
.dot { stroke: var(--paper); stroke-width: 1.5; fill: var(--muted); }
.dot.first { fill: var(--first); }
.dot.second { fill: var(--second); }
.dot.third { fill: var(--third); }
.stem { stroke: var(--rule); stroke-width: 3; }
.stem.first { stroke: var(--faint); }
.error { stroke: var(--ink); stroke-width: 1.25; }
svg .on { font-weight: 500; }
svg .on.first { fill: var(--first); font-weight: 650; }
svg .on.second { fill: var(--second); }
svg .on.third { fill: var(--third); }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; min-width: min(100%, 24rem); }
caption { text-align: left; color: var(--muted); font-size: .85rem; padding-bottom: .35rem; }
th, td { padding: .34rem 1.15rem .34rem 0; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--grid); }
th { font-weight: 500; }
th:first-child { text-align: left; padding-right: 1.5rem; }
thead th { color: var(--muted); border-bottom-color: var(--rule); font-size: .85rem; }
tr.served th, tr.served td { font-weight: 650; color: var(--first); }
.stages { width: 100%; max-width: 44rem; }
.stages td:last-child { width: 60%; padding-right: 0; }
.stages i { display: block; height: .7rem; min-width: 2px; background: var(--first);
            border-radius: 2px; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--muted); font-size: .92rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--rule);
         font-size: .85rem; }
footer dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.25rem; margin: 0; }
footer dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 46rem) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles b { font-size: 1.4rem; }
  svg { font-size: 14px; }
}
@media print { body { max-width: none; padding: 0; } section { break-inside: avoid; } }
"""
