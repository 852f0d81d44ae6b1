"""How slides look and move: one style sheet and one small script, both in the file.

A slide is 1280 × 720 and is scaled to the window. What is larger than a slide is made
smaller, and what is still larger scrolls. Without a script, and on paper, all slides
stand below each other.
"""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1a1a1a;
  font: 26px/1.4 system-ui, "Segoe UI", "Noto Sans", sans-serif; }
.slide { width: 1280px; height: 720px; padding: 34px 56px 46px; overflow: hidden;
  background: #fff; position: relative; }
.where { position: absolute; left: 56px; bottom: 12px; margin: 0; font-size: 16px;
  color: #595959; }
.slide h1 { font-size: 52px; line-height: 1.15; margin: 0 0 20px; }
.slide h2 { font-size: 40px; line-height: 1.2; margin: 0 0 16px; color: #00507f; }
.slide h3 { font-size: 30px; margin: 0 0 12px; }
.inner > :first-child { margin-top: 0; }
p, ul, ol { margin: 0 0 14px; }
a { color: #00507f; }
pre, code { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
code { font-size: 0.9em; }
pre { font-size: 19px; line-height: 1.35; margin: 0 0 14px; padding: 12px 16px;
  background: #f6f6f6; border-radius: 6px; overflow-x: auto; }
pre.out { background: none; padding: 0 16px; }
table { border-collapse: collapse; font-size: 20px; margin: 0 0 14px; }
th, td { padding: 4px 12px; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; max-height: 560px; display: block; margin: 0 auto; }
math { font-size: 1.05em; }
.live { margin: 0; background: #ddd; overflow: hidden; }
.live .slide { position: absolute; left: 0; top: 0; transform-origin: 0 0;
  visibility: hidden; }
.live .slide.now { visibility: visible; }
.inner.tall { overflow-y: auto; }
nav { display: none; }
.live nav { display: block; position: fixed; right: 10px; bottom: 8px; z-index: 2;
  font-size: 15px; color: #595959; }
nav button { font: inherit; padding: 2px 9px; border: 1px solid #8a8a8a;
  background: #fff; border-radius: 4px; cursor: pointer; }
:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
@page { size: 1280px 720px; margin: 0; }
@media print {
  .live { overflow: visible; background: #fff; }
  .live .slide { position: relative; visibility: visible; transform: none !important;
    left: 0 !important; top: 0 !important; break-after: page; }
  .live nav { display: none; }
}
"""

SCRIPT = """
"use strict";
const slides = [...document.querySelectorAll(".slide")];
const column = s => +s.dataset.column, row = s => +s.dataset.row;
const place = document.getElementById("place");
let now = 0;

function fit(slide) {
  const inner = slide.querySelector(".inner"), room = 720 - 80, wide = 1280 - 112;
  let size = 1;
  inner.style.zoom = 1;
  while (size > 0.55 && (inner.scrollHeight * size > room
         || inner.scrollWidth > inner.clientWidth + 1)) {
    size -= 0.05;
    inner.style.zoom = size;
    inner.style.width = wide / size + "px";
  }
  if (inner.scrollHeight * size > room + 1) {
    inner.classList.add("tall");
    inner.style.maxHeight = room / size + "px";
    inner.tabIndex = 0;
  }
}
function scale() {
  const size = Math.min(innerWidth / 1280, innerHeight / 720);
  for (const slide of slides) {
    slide.style.transform = `scale(${size})`;
    slide.style.left = (innerWidth - 1280 * size) / 2 + "px";
    slide.style.top = (innerHeight - 720 * size) / 2 + "px";
  }
}
function show(at) {
  now = Math.max(0, Math.min(slides.length - 1, at));
  slides.forEach((slide, n) => slide.classList.toggle("now", n === now));
  const s = slides[now], last = column(slides[slides.length - 1]) + 1;
  place.textContent = `${column(s) + 1}.${row(s) + 1} of ${last}`;
  history.replaceState(null, "", `#${column(s) + 1}.${row(s) + 1}`);
}
function find(c, r) { return slides.findIndex(s => column(s) === c && row(s) === r); }
function sideways(step) {
  const at = find(column(slides[now]) + step, 0);
  if (at >= 0) show(at);
}
function upright(step) {
  const next = slides[now + step];
  if (next && column(next) === column(slides[now])) show(now + step);
}
const moves = {
  ArrowRight: () => sideways(1), ArrowLeft: () => sideways(-1),
  ArrowDown: () => upright(1), ArrowUp: () => upright(-1),
  PageDown: () => show(now + 1), PageUp: () => show(now - 1),
  " ": e => show(now + (e.shiftKey ? -1 : 1)),
  Home: () => show(0), End: () => show(slides.length - 1),
};
addEventListener("keydown", e => {
  if (e.ctrlKey || e.altKey || e.metaKey || !moves[e.key]) return;
  if (e.key === " " && e.target.closest("button, summary, a")) return;
  const tall = e.target.closest(".tall");
  if (tall && (e.key === "ArrowDown" || e.key === "ArrowUp")) return;
  e.preventDefault();
  moves[e.key](e);
});
for (const button of document.querySelectorAll("nav button"))
  button.addEventListener("click", () => moves[button.dataset.key]({}));
document.body.classList.add("live");
slides.forEach(fit);
addEventListener("resize", scale);
scale();
const [c, r] = location.hash.slice(1).split(".").map(n => n - 1);
show(Math.max(0, find(c, r || 0)));
"""
