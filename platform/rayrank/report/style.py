"""How the page looks: system type, one accent, light and dark, from 360 pixels up."""

# The accents are blue, orange and green of Okabe and Ito, told apart by colour-blind readers too;
# no meaning rests on colour alone. Drawings scale with their column: where it is narrow, their
# letters are larger, to the 14 units of `svg.LINE`.
CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --muted: #59636e; --rule: #d5dae0; --grid: #e9ecef;
  --tint: #f5f7f9; --first: #0072b2; --second: #b35400; --third: #00785a; --faint: #a9cfe6;
  --shade: #00000026;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ec; --muted: #9aa5b1; --rule: #38414b; --grid: #272e36;
    --tint: #1b2027; --first: #56b4e9; --second: #f0a030; --third: #2fc29a; --faint: #2d5876;
    --shade: #00000099;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, h3, p, th, figcaption, .tiles, .legend { overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 .35rem; padding-top: 1.1rem;
     border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 2rem 0 .35rem; }
p { margin: 0 0 1rem; max-width: 46rem; }
header p, .how { color: var(--muted); }
.tiles { display: grid; gap: .75rem; margin: 1.75rem 0 0; padding: 0; list-style: none;
         grid-template-columns: repeat(3, 1fr); }
.tiles li { background: var(--tint); border-radius: .5rem; padding: .85rem 1rem; }
.tiles b { display: block; font-size: 1.75rem; line-height: 1.25; font-weight: 650;
           letter-spacing: -.01em; }
.tiles span { display: block; font-size: .85rem; color: var(--muted); line-height: 1.4; }
.tiles .name { color: var(--ink); font-weight: 600; }
.columns { display: grid; gap: 1.5rem 2rem; align-items: start; margin: 1.25rem 0;
           grid-template-columns: repeat(auto-fit, minmax(min(100%, 20.5rem), 1fr)); }
.columns > * { min-width: 0; max-width: 31rem; width: 100%; margin-bottom: 0; }
figure:last-child { margin-bottom: 0; }
figure { margin: 0 0 1.25rem; }
figcaption { font-weight: 600; margin-bottom: .35rem; }
.chart, .numbers { container-type: inline-size; }
.chart > svg { display: block; width: 100%; height: auto; font-size: 11px; font-family: inherit; }
@container (max-width: 26rem) {
  .chart > svg { font-size: 14px; }
  tr:has(:nth-child(4)) small { display: block; }
}
@container (max-width: 50rem) { .wide td small { display: block; } }
svg text { fill: var(--ink); }
svg .tick, svg .label { fill: var(--muted); }
.grid { stroke: var(--grid); }
.axis { stroke: var(--muted); }
.limit { stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 5 4; }
.bound { stroke: var(--second); stroke-width: 2; }
.halo { stroke: var(--paper); stroke-width: 4; }
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
.dot.hollow { fill: var(--paper); stroke: var(--muted); }
.stem { stroke: var(--rule); stroke-width: 3; }
.stem.first { stroke: var(--faint); }
.error { stroke: var(--ink); stroke-width: 1.25; }
svg .on { font-weight: 500; }
svg .on.first { fill: var(--first); font-weight: 650; }
svg .on.second { fill: var(--second); }
svg .on.third { fill: var(--third); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; margin: 0 0 .35rem; padding: 0;
          list-style: none; font-size: .85rem; }
.legend svg { width: .9rem; height: .9rem; margin-right: .35rem; vertical-align: -.1rem; }
.numbers figcaption { color: var(--muted); font-weight: 400; font-size: .85rem; }
/* The shade at the right edge says that there is more; the paper over it, which scrolls along,
   hides it at the end. */
.scrolling { overflow-x: auto;
  background: linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat
                local,
              linear-gradient(to left, var(--shade), transparent) right / .75rem 100% no-repeat
                scroll; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; }
th, td { padding: .34rem 0 .34rem 1rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--grid); }
th { font-weight: 500; }
th:first-child { text-align: left; padding-left: 0; padding-right: .5rem; position: sticky; left: 0;
                 background: var(--paper); }
tbody th:first-child { white-space: normal; min-width: 6rem; max-width: 9rem; }
td small { font-size: inherit; color: var(--muted); font-weight: 400; }
thead th { color: var(--muted); border-bottom-color: var(--rule); }
tr.strong th, tr.strong td { font-weight: 650; color: var(--first); }
.stages { max-width: 44rem; }
.stages td:last-child { width: 60%; }
.stages i { display: block; height: .7rem; min-width: 2px; background: var(--first);
            border-radius: 2px; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--muted); font-size: .92rem; margin-bottom: .75rem; }
pre { margin: 0; padding: .75rem 1rem; background: var(--tint); border-radius: .5rem;
      white-space: pre-wrap; overflow-wrap: anywhere;
      font: .8rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
pre code { font: inherit; user-select: all; }
@media (max-width: 46rem) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles b { font-size: 1.4rem; }
  th, td { padding-left: .7rem; }
}
@media print { body { max-width: none; padding: 0; } section { break-inside: avoid; } }
"""
