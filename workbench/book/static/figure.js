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

  const OPTIONS = { displayModeBar: false, displaylogo: false, responsive: false };
  const draw = async (place, figure) => {
    await plotly();
    const shown = store.fitted(figure, place.clientWidth || 600);
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
