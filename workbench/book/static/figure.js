// Figures come alive when they are near the screen: plotly and the figure's JSON are
// loaded from beside this script and from nowhere else. Without a script they stay
// pictures.
(() => {
  "use strict";
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const store = (window.workbench ||= {});
  const pending = new Map();

  const load = (address) => {
    if (!pending.has(address)) {
      pending.set(address, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = address;
        script.onload = done;
        script.onerror = () => failed(new Error(`${address} cannot be loaded`));
        document.head.append(script);
      }));
    }
    return pending.get(address);
  };
  const plotly = () => load(`${here}plotly.min.js`);

  const panels = (layout) => Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key))
    .map((key) => key.slice(5)).sort((a, b) => (a || 1) - (b || 1));
  // The legend and the heading of a panel go where its axes go.
  const place = (layout, suffix, at, x, y) => {
    const legend = layout[`legend${suffix}`], head = (layout.annotations || [])[at];
    if (legend) Object.assign(legend, { x, ...(y && { y: y.legend }) });
    if (head && head.yref === "paper") Object.assign(head, { x, ...(y && { y: y.head }) });
  };

  // Panels side by side keep the pixels between them, which hold the axis labels.
  const narrowed = (layout, before, after) => {
    const sides = { l: 60, r: 12, ...layout.margin }, edges = sides.l + sides.r;
    const axes = panels(layout), domains = axes.map((s) => layout[`xaxis${s}`].domain);
    const gaps = domains.map(([start], at) =>
      (at ? start - domains[at - 1][1] : start) * (before - edges));
    const used = gaps.reduce((sum, gap) => sum + gap, 0);
    const shares = domains.map(([start, end]) => (end - start) * (before - edges));
    const scale = (after - edges - used) / shares.reduce((sum, share) => sum + share, 0);
    let left = 0;
    axes.forEach((suffix, at) => {
      const start = left + gaps[at], end = start + shares[at] * scale;
      const domain = [start, end].map((side) => Math.min(1, side / (after - edges)));
      layout[`xaxis${suffix}`].domain = domain;
      place(layout, suffix, at, domain[0]);
      left = end;
    });
  };

  // Where the page is narrower still they are stacked, with legends of one column.
  const stacked = (figure, width) => {
    const { data, layout } = figure, axes = panels(layout);
    const margin = { l: 60, r: 12, t: 34, b: 90, ...layout.margin };
    const own = (layout.height || 380) - margin.t - margin.b;
    const rows = axes.map((suffix) => data.filter((trace) =>
      trace.showlegend !== false && (trace.legend || "legend") === `legend${suffix}`).length);
    const foot = 54 + 20 * Math.max(0, ...rows), step = own + foot + 40;
    const whole = own + (axes.length - 1) * step;
    axes.forEach((suffix, at) => {
      const top = 1 - (at * step) / whole, bottom = Math.max(0, top - own / whole);
      layout[`xaxis${suffix}`].domain = [0, 1];
      layout[`yaxis${suffix}`].domain = [bottom, top];
      place(layout, suffix, at, 0, { head: top, legend: bottom - 46 / whole });
      const legend = layout[`legend${suffix}`] || {};
      for (const key of ["orientation", "entrywidth", "entrywidthmode"]) delete legend[key];
    });
    layout.margin = { ...margin, b: foot };
    layout.height = margin.t + whole + foot;
    for (const part of [layout.title, ...(layout.annotations || [])]) {
      if (part && part.text) part.text = wrapped(part.text, width / 7.2);
    }
  };

  const fitted = (figure, width) => {
    const copy = structuredClone(figure), across = copy.layout.width || 700;
    if (width < Math.min(across * 0.75, 560)) stacked(copy, width);
    else if (width < across) narrowed(copy.layout, across, width);
    copy.layout.width = Math.min(width, across);
    return copy;
  };
  const wrapped = (text, most) => text.split(" ").reduce((lines, word) => {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + word.length < most) lines[last] += ` ${word}`;
    else lines.push(word);
    return lines;
  }, []).join("<br>");

  const OPTIONS = { displayModeBar: false, displaylogo: false, responsive: false };
  const draw = async (place, figure) => {
    await plotly();
    const shown = fitted(figure, place.clientWidth || 600);
    await window.Plotly.react(place, shown.data, shown.layout, OPTIONS);
  };
  Object.assign(store, { load });

  const prepare = (box) => {
    const image = box.querySelector("img"), plot = document.createElement("div");
    const button = document.createElement("button");
    let current = null;
    Object.assign(button, { type: "button", className: "wb-live", textContent: "Live" });
    plot.className = "wb-plot";
    plot.hidden = true;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", image.alt);
    image.after(plot);
    box.querySelector(".wb-tools").append(button);
    const show = (live) => {
      image.hidden = live;
      plot.hidden = !live;
      button.textContent = live ? "Picture" : "Live";
      box.dataset.state = live ? "live" : "picture";
    };
    const move = async (figure) => {
      current = figure;
      await plotly();
      show(true);
      await draw(plot, current);
    };
    const enliven = async () => {
      try {
        await load(new URL(box.dataset.live, document.baseURI).href);
        await move(current || store.figure[box.dataset.name]);
      } catch (error) {
        show(false);
        button.disabled = true;
        button.title = String(error.message || error);
      }
    };
    const redraw = () => (plot.hidden ? null : draw(plot, current));
    button.addEventListener("click", () => (plot.hidden ? enliven() : show(false)));
    return { box, enliven, move, redraw };
  };

  const start = () => {
    const boxes = [...document.querySelectorAll(".wb-figure[data-live]")];
    const figures = (store.figures = new Map(boxes.map((box) => [box, prepare(box)])));
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        near.unobserve(entry.target);
        figures.get(entry.target).enliven();
      }
    }, { rootMargin: "200px" });
    boxes.forEach((box) => near.observe(box));
    let wide = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === wide) return;
      wide = window.innerWidth;
      figures.forEach((each) => each.redraw());
    });
    // the theme's arrows in the sidebar have no words
    for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary")) {
      const above = arrow.closest("li").querySelector("a");
      arrow.setAttribute("aria-label", `Pages below ${above ? above.textContent : ""}`);
    }
    // what scrolls sideways can be reached by the keyboard
    for (const box of document.querySelectorAll(".wb-scroll, .wb-output, .wb-math, .output, pre")) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    }
  };
  start();
})();
