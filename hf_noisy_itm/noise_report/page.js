"use strict";
// Sorting and searching the gallery: everything is read from the page, nothing is written into it but order and counts.
const body = document.querySelector("#gallery tbody");
const rows = Array.from(body.rows);
const search = document.querySelector("#search");
const count = document.querySelector("#count");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = `${row.dataset.caption} ${row.dataset.ids}`.toLowerCase(); // not the words that all rows share
    row.hidden = !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  count.textContent = shown === rows.length ? `${rows.length} pairs` : `${shown} of ${rows.length} pairs`;
}

function sort(head) {
  const key = head.dataset.key;
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of document.querySelectorAll("#gallery th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => (key === "caption" ? row.dataset.caption : Number(row.dataset[key]));
  const compare = (one, other) => (key === "caption" ? one.localeCompare(other) : one - other);
  const sign = down ? -1 : 1;
  rows.sort((one, other) => sign * compare(value(one), value(other)) || one.dataset.rank - other.dataset.rank);
  body.append(...rows);
}

search.addEventListener("input", filter);
for (const head of document.querySelectorAll("#gallery th.sortable")) {
  head.querySelector("button").addEventListener("click", () => sort(head));
}
filter();
