"""The style sheet and the script of a search's page; both stand in the page, which loads nothing."""

from cnnrecipes.figures.page_scripts import RELOADING, SORTING

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #57606a; --line: #d8dee4; --tile: #f4f6f8; --link: #0b5cad;
  --page: #fff; --done: #0072b2; --pruned: #6e7781; --failed: #b5400a; --best: #d55e00;
  --s0: #d3d9df; --s1: #c6d1dc; --s2: #b9cadb; --s3: #9db8d3; --s4: #7aa2c9; --s5: #4f88bb;
  --s6: #236aa8; --s7: #0a4580 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e6ea; --quiet: #a4adb7; --line: #3d454e; --tile: #1f242a; --link: #7ab8f5; --page: #16191d;
  --done: #56b4e9; --pruned: #9aa4ae; --failed: #ff8a5c; --best: #ffb000;
  --s0: #3a434c; --s1: #3f4c58; --s2: #455868; --s3: #4b667d; --s4: #4d7391; --s5: #588cb2;
  --s6: #6aa9d6; --s7: #9ad3fb }
}
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1160px; padding: 1.2rem 1rem 4rem;
  color: var(--ink); background: var(--page); overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 } h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem }
p { margin: .35rem 0 .6rem; max-width: 46rem } header p { max-width: none }
a { color: var(--link) } .quiet { color: var(--quiet) }
.answer { background: var(--tile); border-left: 4px solid var(--best); border-radius: 4px; padding: .8rem 1.1rem;
  margin: 1rem 0 }
.numbers { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: .6rem 0 1rem }
.numbers div { min-width: 8rem } .numbers dt { color: var(--quiet); font-size: .85rem } dl { margin: 0 }
.numbers dd { margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums }
.numbers dd small { display: block; font-size: .85rem; font-weight: 400; color: var(--quiet) }
.values { border-collapse: collapse; margin: .4rem 0 .9rem } .values th { text-align: left; font-weight: 400 }
.values td, .values th { padding: .1rem 1.4rem .1rem 0; vertical-align: top } .values td { font-weight: 600 }
pre { background: var(--tile); padding: .7rem .9rem; border-radius: 4px; overflow-x: auto; font-size: .85rem;
  overflow-wrap: normal; margin: .4rem 0 1rem }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace }
.scroll { overflow-x: auto; max-width: 100% } .tall { max-height: 36rem; overflow-y: auto }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .6rem 1rem }
.side svg, .slices svg { width: 100%; height: auto; max-width: 620px } .slices svg { max-width: 400px }
figure { margin: 0 } figcaption { color: var(--quiet); font-size: .85rem; margin: .2rem 0 }
svg { display: block; font-size: 12px; fill: var(--ink); font-family: system-ui, sans-serif }
svg .t { fill: var(--quiet) } svg .b { font-weight: 600 }
svg .halo { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round }
.grid { stroke: var(--line); stroke-width: 1 } .axis { stroke: var(--quiet); stroke-width: 1 }
.m { stroke-width: 1.5; stroke: var(--page) }
.m.completed { fill: var(--done) } .m.pruned { fill: var(--page); fill-opacity: .6; stroke: var(--pruned) }
.m.failed { fill: none; stroke: var(--failed); stroke-width: 2 }
.m.best { fill: var(--best); stroke: var(--ink); stroke-width: 1.5; fill-opacity: 1 }
.steps { fill: none; stroke: var(--best); stroke-width: 2; stroke-linejoin: round }
.bar { fill: var(--done) } .dim { fill: var(--pruned); fill-opacity: .55 }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1.5 }
.l path { fill: none; stroke-width: 1.6; stroke-linejoin: round } .l .hit { stroke: transparent; stroke-width: 11 }
.l.pruned path:not(.hit) { stroke-dasharray: 5 4 }
.s0 path { stroke: var(--s0) } .s1 path { stroke: var(--s1) } .s2 path { stroke: var(--s2) }
.s3 path { stroke: var(--s3) } .s4 path { stroke: var(--s4) } .s5 path { stroke: var(--s5) }
.s6 path { stroke: var(--s6) } .s7 path { stroke: var(--s7) }
.l .hit { stroke: transparent } .l.best path:not(.hit) { stroke: var(--best); stroke-width: 3 }
.l:hover path:not(.hit), .l.on path:not(.hit) { stroke: var(--ink); stroke-width: 3.5 }
.dimmed .l:not(.on) path:not(.hit) { opacity: .3 }
.m.on { fill: var(--ink); stroke: var(--page); stroke-width: 1.5; fill-opacity: 1 } .m.failed.on { stroke: var(--ink) }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; font-size: .85rem; color: var(--quiet); padding: 0;
  margin: .3rem 0; list-style: none; align-items: center } .legend svg { display: inline-block; vertical-align: middle }
table.trials, table.again { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
.trials td, .trials th, .again td, .again th { padding: .25rem .7rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; overflow-wrap: normal }
.trials th { position: sticky; top: 0; background: var(--page); vertical-align: bottom }
.trials td.n, .trials th.n, .again td.n, .again th.n { text-align: right; white-space: nowrap }
.again td { white-space: nowrap }
.trials td.why { min-width: 24rem; overflow-wrap: anywhere } .trials td.v { max-width: 16rem; overflow-wrap: anywhere }
.trials th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0;
  text-align: inherit; white-space: nowrap; cursor: pointer }
.trials th button::after { content: " \\2195"; color: var(--quiet) }
.trials th[aria-sort=ascending] button::after { content: " \\2191"; color: var(--ink) }
.trials th[aria-sort=descending] button::after { content: " \\2193"; color: var(--ink) }
.trials tr.won td { font-weight: 600 } .trials tr.on td { background: var(--tile) }
.chosen { min-height: 3em; font-size: .9rem; max-width: none }
.tool { font: inherit; font-size: .9rem; color: var(--ink);
  background: var(--tile); border: 1px solid var(--line); border-radius: 4px; padding: .2rem .7rem; cursor: pointer }
.tool[aria-pressed=true] { border-color: var(--link); color: var(--link) }
@media (max-width: 600px) { body { font-size: 15px } .side svg, .slices svg { font-size: 13px }
  pre { font-size: .75rem } }
@media print { .tool { display: none } .tall { max-height: none } }
"""

# Highlighting one trial everywhere.
_HIGHLIGHTING = """
(() => {
  "use strict";
  const all = (selector, inside) => [...(inside || document).querySelectorAll(selector)];
  const chosen = document.querySelector(".chosen"), lines = document.querySelector(".lines");
  const hint = chosen ? chosen.textContent : "";
  let kept = null;
  function highlight(trial) {
    all(".on").forEach(one => one.classList.remove("on"));
    if (lines) lines.classList.toggle("dimmed", trial !== null);
    if (trial !== null) all('[data-t="' + trial + '"]').forEach(one => one.classList.add("on"));
    if (chosen) {
      const line = trial === null ? null : document.querySelector('.l[data-t="' + trial + '"] title');
      const row = trial === null ? null : document.querySelector('tr[data-t="' + trial + '"]');
      chosen.textContent = line ? line.textContent : row ? "trial " + trial + ", " + row.cells[1].textContent : hint;
    }
  }
  const of = event => { const one = event.target.closest("[data-t]"); return one ? one.dataset.t : null; };
  document.addEventListener("mouseover", event => { const t = of(event); highlight(t === null ? kept : t); });
  document.addEventListener("click", event => {
    const t = of(event);
    if (t !== null) { kept = kept === t ? null : t; highlight(kept); }
  });
  if (lines) {
    const order = all(".l", lines).map(one => one.dataset.t).reverse();
    lines.addEventListener("keydown", event => {
      const at = order.indexOf(kept);
      const last = order.length - 1;  // left and right scroll
      const to = { ArrowDown: at + 1, ArrowUp: Math.max(at, 1) - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") { kept = null; highlight(null); }
      if (to === undefined || !order.length) return;
      event.preventDefault();
      kept = order[Math.min(to, last)];
      highlight(kept);
    });
  }
})();
"""
SCRIPT = SORTING + RELOADING + _HIGHLIGHTING
