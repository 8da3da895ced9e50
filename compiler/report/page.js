// Tables that sort, filter and save themselves; charts that fit the paper. No network, no library.
"use strict";

(() => {
  const text = (cell) => cell.textContent.trim();
  const number = (cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : null);

  // Numbers come before words, and empty cells last in either direction.
  function compare(a, b, sign) {
    const [x, y] = [number(a), number(b)];
    const [emptyX, emptyY] = [text(a) === "" || text(a) === "-", text(b) === "" || text(b) === "-"];
    if (emptyX || emptyY) return emptyX - emptyY;
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    return sign * text(a).localeCompare(text(b), undefined, { numeric: true });
  }

  function sortBy(table, column) {
    const heads = [...table.tHead.rows[0].cells];
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => compare(a.cells[column], b.cells[column], up ? 1 : -1));
    body.append(...rows);
  }

  function filter(table, wanted, count) {
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const held = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => held.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  }

  function asCsv(data) {
    const field = (value) => {
      const plain = value === null ? "" : String(value);
      return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
    };
    return [data.columns, ...data.rows].map((row) => row.map(field).join(",") + "\r\n").join("");
  }

  function asJson(data) {
    const objects = data.rows.map((row) =>
      Object.fromEntries(data.columns.map((column, i) => [column, row[i]])));
    return JSON.stringify(objects, null, 1) + "\n";
  }

  function save(data, kind) {
    const types = { csv: "text/csv", json: "application/json" };
    const blob = new Blob([kind === "csv" ? asCsv(data) : asJson(data)], { type: types[kind] });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${data.name}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  function enliven(holder) {
    const table = holder.querySelector("table");
    const tools = holder.querySelector(".tools");
    const count = tools.querySelector("output");
    const wanted = tools.querySelector("input");
    const data = JSON.parse(holder.querySelector("script").textContent);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => sortBy(table, column));
    });
    wanted.addEventListener("input", () => filter(table, wanted.value, count));
    for (const button of tools.querySelectorAll("button")) {
      button.addEventListener("click", () => save(data, button.dataset.save));
    }
    filter(table, "", count);
    tools.hidden = false;
  }

  document.querySelectorAll("[data-table]").forEach(enliven);

  // A chart has the width of the screen; on paper (A4 less its margins) it must have the paper's.
  const PAPER = 680;
  const charts = () => [...document.querySelectorAll(".js-plotly-plot")];
  addEventListener("beforeprint", () => {
    charts().forEach((chart) => Plotly.relayout(chart, { width: PAPER, autosize: false }));
  });
  addEventListener("afterprint", () => {
    charts().forEach((chart) => Plotly.relayout(chart, { width: null, autosize: true }));
  });
})();
