(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // Theme: that of the system until the reader chooses, and again after the third click.
  const themes = ["system", "light", "dark"];
  const button = document.querySelector("button.theme");
  const recall = () => { try { return localStorage.getItem("report-theme"); } catch { return null; } };
  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("report-theme", theme); } catch { /* files may have no storage */ }
  };
  let theme = themes.includes(recall()) ? recall() : "system";
  show(theme);
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
  });

  // Sorting: numbers from the largest, texts from A; the third click restores the order of the table.
  const collator = new Intl.Collator("en", { numeric: true });
  const words = (cell) => (cell.querySelector("button.open") || cell.firstChild || cell).textContent.trim();
  const compare = (place, numeric, sign) => (one, other) => {
    const [a, b] = [one.cells[place], other.cells[place]];
    if (!numeric) return sign * collator.compare(words(a), words(b));
    const [x, y] = [a.dataset.key, b.dataset.key];
    // What is no number stands last in both directions.
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (Number(x) - Number(y));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    if (original.length < 2) continue;
    const heads = [...[...table.tHead.rows].at(-1).cells];
    heads.forEach((head, place) => {
      const numeric = original.some((row) => row.cells[place].dataset.key !== undefined);
      const order = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
      const sort = document.createElement("button");
      sort.type = "button";
      sort.className = "sort";
      sort.append(...head.childNodes);
      head.append(sort);
      sort.addEventListener("click", () => {
        const next = order[order.indexOf(head.getAttribute("aria-sort")) + 1];
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const rows = [...original];
        if (next) rows.sort(compare(place, numeric, next === "ascending" ? 1 : -1));
        body.append(...rows);
      });
    });
  }

  // Paper has nothing to click: what is folded is printed open.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
})();
