"""JavaScript that several pages have: tables that sort, and a button that reloads; the pages are readable without."""

# A click on a heading of a `table.sortable` sorts its rows by `data-v` of the cells, or by their text; cells that are
# empty come last. Columns of the class "n" begin with the largest number. Headings with `data-fixed` do not sort.
SORTING = """
(() => {
  "use strict";
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, column) => {
      if ("fixed" in head.dataset || !head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach(one => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const value = row => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
        const sign = order === "ascending" ? 1 : -1;
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => {
          const x = value(a), y = value(b);
          if (x === "" || y === "") return (x === "") - (y === "");
          const difference = Number(x) - Number(y);
          return sign * (Number.isNaN(difference) ? x.localeCompare(y) : difference);
        }));
      });
    });
  }
})();
"""

# The button `#again`, hidden at first, reloads the page every 10 s while it is pressed; the address remembers it.
RELOADING = """
(() => {
  "use strict";
  const again = document.getElementById("again");
  if (!again) return;
  again.hidden = false;
  let timer = null;
  const set = on => {
    again.setAttribute("aria-pressed", on);
    clearTimeout(timer);
    if (on) timer = setTimeout(() => location.reload(), 10000);
    if (on !== (location.hash === "#watch")) location.hash = on ? "#watch" : "";
  };
  again.addEventListener("click", () => set(again.getAttribute("aria-pressed") !== "true"));
  if (location.hash === "#watch") set(true);
})();
"""
