// Sliders that step through the states of an instrument: each state is a list of changes
// to the first figure, which was computed beforehand or is computed by a rule of exact.js.
// Needs figure.js and sortable.js; nothing is loaded but local files.
(() => {
  "use strict";
  const store = window.workbench;

  const changes = ({ states, exact, controls }, places) => {
    if (!exact) return states[places.join(",")] || [];
    const values = controls.map(({ name, numbers }, at) => [name, numbers[places[at]]]);
    return store.rules[exact.rule](exact.tables, Object.fromEntries(values));
  };

  // The figure of a state, and the sentence that says what is seen.
  const stated = (found, places) => {
    const state = structuredClone({ ...found.base, caption: found.caption });
    for (const { path, value } of changes(found, places)) {
      const last = path[path.length - 1];
      let place = state;
      for (const part of path.slice(0, -1)) place = place[part] ??= {};
      if (value === null && !Array.isArray(place)) delete place[last];
      else place[last] = value;
    }
    return state;
  };

  const wire = (box) => {
    const figure = box.closest(".wb-figure"), said = box.querySelector(".wb-said");
    const inputs = [...box.querySelectorAll("input[type=range], input[type=hidden]")];
    const starts = inputs.map((input) => input.value);
    let busy = false, wanted = false;

    const named = (input) => {
      if (input.type === "hidden") return;
      const word = JSON.parse(input.dataset.words)[Number(input.value)];
      input.setAttribute("aria-valuetext", word);
      box.querySelector(`output[for="${input.id}"]`).textContent = word;
    };
    // While one state is drawn the newest wish waits, and those before it are dropped.
    const move = async () => {
      wanted = true;
      if (busy) return;
      busy = true;
      try {
        await store.load(new URL(box.dataset.states, document.baseURI).href);
        while (wanted) {
          wanted = false;
          const found = store.states[box.dataset.name];
          const places = inputs.map((input) => Number(input.value));
          const state = stated(found, places);
          await store.figures.get(figure).move({ data: state.data, layout: state.layout });
          said.textContent = state.caption || "";
          box.dataset.state = places.join(",");
        }
      } catch (error) {
        said.textContent = `This instrument cannot be moved: ${error.message || error}`;
      } finally {
        busy = false;
      }
    };
    // a table whose heads are pressed keeps its column in a hidden field
    const tables = inputs.filter((input) => input.dataset.keys).map((input) => {
      const keys = JSON.parse(input.dataset.keys);
      const wired = store.sortable(input.previousElementSibling, (key) => {
        input.value = keys.indexOf(key);
        move();
      });
      return () => wired.choose(keys[Number(input.value)]);
    });
    for (const input of inputs) {
      input.value = input.defaultValue; // a reload keeps no half-moved slider
      input.addEventListener("input", () => { named(input); move(); });
    }
    box.querySelector(".wb-reset").addEventListener("click", () => {
      inputs.forEach((input, at) => { input.value = starts[at]; named(input); });
      tables.forEach((sort) => sort());
      move();
    });
    tables.forEach((sort) => sort());
    box.hidden = false;
  };

  document.querySelectorAll(".wb-figure .wb-instrument").forEach(wire);
})();
