// The page reads well without this: it sorts, filters, explains marks and hands out the data.
"use strict";

const FILTERS = ["device", "variant", "runtime"];
const tables = [...document.querySelectorAll("table")];
const headings = (table) => [...table.tHead.rows[0].cells];
const rowsOf = (table) => [...table.tBodies[0].rows];
const create = (name, attributes = {}, text = "") => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

// Sorting: numbers by their first number, a null last either way, the rest as text.
const keyOf = (row, at) => {
  const text = row.cells[at].textContent.trim();
  const found = text.replaceAll(",", "").match(/^[-+]?[\d.]+(e[-+]?\d+)?/i);
  return { text, number: found ? parseFloat(found[0]) : NaN, none: text === "" || text === "–" };
};

const compare = (a, b, numeric, sign) => {
  if (a.none !== b.none) return a.none ? 1 : -1;
  if (!numeric) return sign * a.text.localeCompare(b.text, "en", { numeric: true });
  if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
  return sign * (a.number - b.number);
};

const sort = (table, at) => {
  const heading = headings(table)[at];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of headings(table)) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const numeric = heading.classList.contains("n");
  const keyed = rowsOf(table).map((row) => [keyOf(row, at), row]);
  keyed.sort(([a], [b]) => compare(a, b, numeric, ascending ? 1 : -1));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
};

for (const table of tables) {
  if (rowsOf(table).length < 2) continue;
  headings(table).forEach((heading, at) => {
    const button = create("button", { type: "button", class: "sort" }, heading.textContent);
    button.addEventListener("click", () => sort(table, at));
    heading.replaceChildren(button);
  });
}

// Filters: every table that has the column shows the chosen rows only.
const chosen = new Map();
const named = (table, name) => headings(table).findIndex((cell) => cell.textContent.trim() === name);

const apply = () => {
  const words = document.getElementById("words").value.trim().toLowerCase();
  let shown = 0, all = 0;
  for (const table of tables) {
    const wanted = [...chosen].map(([name, value]) => [named(table, name), value]);
    for (const row of rowsOf(table)) {
      const fits = wanted.every(([at, value]) => !value || at < 0 || row.cells[at].textContent.trim() === value);
      row.hidden = !(fits && row.textContent.toLowerCase().includes(words));
      all += 1;
      shown += row.hidden ? 0 : 1;
    }
  }
  document.getElementById("shown").textContent = shown < all ? `${shown} of ${all} rows shown` : "";
};

const controls = document.getElementById("controls");
for (const name of FILTERS) {
  const values = new Set();
  for (const table of tables) {
    const at = named(table, name);
    if (at >= 0) for (const row of rowsOf(table)) values.add(row.cells[at].textContent.trim());
  }
  values.delete("");
  if (values.size < 2) continue;
  const label = create("label", {}, `${name} `);
  const select = create("select");
  select.append(create("option", { value: "" }, "all"));
  for (const value of [...values].sort()) select.append(create("option", { value }, value));
  select.addEventListener("change", () => { chosen.set(name, select.value); apply(); });
  label.append(select);
  controls.querySelector("#filters").append(label);
}
document.getElementById("words").addEventListener("input", apply);
controls.hidden = false;

// Tooltips: what a mark of a chart stands for, by mouse or by keyboard.
const tip = create("div", { id: "tip", role: "status" });
tip.hidden = true;
document.body.append(tip);
const explain = (mark) => {
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const box = mark.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.right + 8, innerWidth - tip.offsetWidth - 8)) + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 6}px`;
};
const markAt = (event) => event.target.closest?.("svg [role=graphics-symbol][aria-label]");
for (const svg of document.querySelectorAll(".chart svg")) {
  svg.addEventListener("pointerover", (event) => explain(markAt(event)));
  svg.addEventListener("pointerleave", () => explain(null));
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") explain(null); });

// The data: unpacked only when somebody asks for it.
for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", async () => {
    const packed = document.getElementById(button.dataset.download).textContent;
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const url = URL.createObjectURL(await new Response(stream).blob());
    create("a", { href: url, download: button.dataset.name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
}
