"""The look of a report and the few lines that move its sliders; both stand inside the page."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2024; --quiet: #5b6470; --line: #d8dde3; --panel: #f5f7f9; --link: #0b57b0;
  --critical: #b3261e; --warning: #8a5a00; --note: #1f5f9e; --good: #1d6f42;
  --critical-paper: #fdecea; --warning-paper: #fff5df; --note-paper: #eaf3fc; --good-paper: #e8f5ec;
  --c0: #1565c0; --c1: #c2410c; --c2: #177245; --c3: #8e24aa; --c4: #6d4c41; --c5: #00838f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e6e9ec; --quiet: #a3adb8; --line: #343b43; --panel: #1d2226; --link: #82b7f5;
    --critical: #ff9a90; --warning: #f2c063; --note: #8fc3f7; --good: #84d3a2;
    --critical-paper: #3a1c1a; --warning-paper: #35290f; --note-paper: #16283a; --good-paper: #16301f;
    --c0: #6cb2ff; --c1: #ff9e66; --c2: #6fd09a; --c3: #d79bf0; --c4: #c9ab9c; --c5: #5fd0da;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { margin: 1.25rem 0 .5rem; font-size: 1rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); }
code, pre, .samples td { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .875rem; }
code { overflow-wrap: anywhere; }
pre { margin: .5rem 0; padding: .75rem; background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; white-space: pre; }
.quiet { color: var(--quiet); font-weight: normal; }
.summary { color: var(--quiet); max-width: none; }
nav ul { list-style: none; padding: 0; margin: .75rem 0 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.box { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .35rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--panel); white-space: nowrap; }
tbody th { font-weight: normal; }
tbody th.part { padding-left: 1.75rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.best { font-weight: 700; color: var(--good); }
.samples td { white-space: pre; }
.options td:last-child, .options th:last-child { min-width: 14rem; }
code.flag, .options td code, .options th code { white-space: nowrap; overflow-wrap: normal; }
.findings { list-style: none; padding: 0; margin: .75rem 0; display: grid; gap: .75rem; }
.finding { padding: .6rem .9rem; border-left: 5px solid var(--note); border-radius: 4px;
  background: var(--note-paper); }
.finding p { max-width: none; margin: .15rem 0; overflow-wrap: anywhere; }
.finding strong { color: var(--note); }
.finding.critical { border-color: var(--critical); background: var(--critical-paper); }
.finding.critical strong { color: var(--critical); }
.finding.warning { border-color: var(--warning); background: var(--warning-paper); }
.finding.warning strong { color: var(--warning); }
.finding.good { border-color: var(--good); background: var(--good-paper); }
.finding.good strong { color: var(--good); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; }
.chart h3 { margin: 0 0 .25rem; }
.chart > svg { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--quiet); font-family: inherit; }
.legend { list-style: none; padding: 0; margin: .25rem 0 0; font-size: .85rem; display: flex; flex-wrap: wrap;
  gap: .1rem 1rem; }
.legend svg { width: 28px; height: 12px; }
.grid { stroke: var(--line); stroke-width: 1; }
.aim { stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 1 4; stroke-linecap: round; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: butt; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.dot { stroke-width: 3; }
img { max-width: 100%; height: auto; image-rendering: pixelated; border-radius: 3px; }
.slides { display: flex; gap: 1rem; overflow-x: auto; padding-bottom: .5rem; }
.slides figure { flex: 0 0 auto; max-width: min(26rem, 85%); }
.slides img { width: 26rem; }
.slides pre { margin-top: .25rem; }
.moving .slides { display: block; overflow: visible; }
.moving .slides figure { max-width: 26rem; }
.moving .slides.texts figure { max-width: none; }
.moving figcaption { display: none; }
.slider { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; margin: .5rem 0; }
.slider input { flex: 1 1 14rem; max-width: 26rem; min-width: 0; height: 2rem; accent-color: var(--c0); }
[hidden] { display: none !important; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; list-style: none;
  padding: 0; margin: .75rem 0; }
.pairs div { display: flex; gap: 4px; }
.pairs img { width: 50%; min-width: 0; aspect-ratio: auto; border: 1px solid var(--line); }
.pairs p { font-size: .8rem; margin: .25rem 0 0; }
.side { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: 1.5rem; }
.side > * { min-width: 0; }
.picture img { width: 34rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--link); padding: .25rem 0; }
a:focus-visible, summary:focus-visible, input:focus-visible, .box:focus-visible, pre:focus-visible,
.slides:focus-visible { outline: 3px solid var(--c0); outline-offset: 2px; }
@media (max-width: 30rem) { body { padding: 1rem .75rem 3rem; } h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .5rem; } }
@media print { .slider { display: none; } }
"""

SCRIPT = """
for (const part of document.querySelectorAll('.progress')) {
  const frames = part.querySelectorAll('.slides > figure');
  const slider = part.querySelector('input');
  const shown = part.querySelector('output');
  const show = () => {
    frames.forEach((frame, place) => { frame.hidden = place !== Number(slider.value); });
    const step = frames[slider.value].dataset.step;
    shown.textContent = 'step ' + Number(step).toLocaleString('en');
    slider.setAttribute('aria-valuetext', shown.textContent);
  };
  part.classList.add('moving');
  part.querySelector('.slider').hidden = false;
  slider.addEventListener('input', show);
  show();
}
"""
