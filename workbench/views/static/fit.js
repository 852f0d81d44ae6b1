// A figure as wide as the page lets it be: panels side by side are narrowed, and stacked
// where a page is narrower still. For the book and for reports.
(() => {
  "use strict";
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
  (window.workbench ||= {}).fitted = fitted;
})();
