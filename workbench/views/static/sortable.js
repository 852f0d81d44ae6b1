// A table whose heads put its rows in order and whose field leaves rows out. Notebooks
// and the book use the same: `head_table.py` writes the table, `store.sortable` wires it.
(() => {
  "use strict";
  const store = (globalThis.workbench ??= {});

  // a number, null where there is none, or a text
  const value = (row, at) => {
    const { dataset, textContent } = row.cells[at];
    if (dataset.value === undefined) return textContent;
    return dataset.value === "" ? null : Number(dataset.value);
  };

  // `pick` is told the key of a pressed head, if it has one.
  store.sortable = (box, pick) => {
    const table = box.querySelector("table"), body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const field = box.querySelector("input[type=search]"), count = box.querySelector("span");

    const sort = (head, direction) => {
      const at = heads.indexOf(head), sign = direction === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((one, other) => {
        const [a, b] = [value(one, at), value(other, at)];
        if (a === null || b === null) return (a === null) - (b === null); // always last
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
      });
      body.append(...rows);
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
    };
    const press = (head) => {
      const now = head.getAttribute("aria-sort"), { first, key } = head.dataset;
      sort(head, !now ? first : now === "ascending" ? "descending" : "ascending");
      if (key !== undefined) pick(key);
    };
    const filter = () => {
      const wanted = field.value.trim().toLowerCase(), rows = [...body.rows];
      for (const row of rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      }
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = `${shown} of ${rows.length} rows`;
    };

    for (const head of heads) {
      head.querySelector("button").addEventListener("click", () => press(head));
    }
    field.addEventListener("input", filter);
    filter();
    const choose = (key) => {
      const head = heads.find((each) => each.dataset.key === key);
      if (head) sort(head, head.dataset.first);
    };
    return { choose };
  };
})();
