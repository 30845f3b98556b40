// Asks for each file once more and shows what the node says about it: max-age=0 makes the
// browser ask, and s-maxage lets the node answer.
async function show(path) {
  const answer = await fetch(path);
  const timing = performance.getEntriesByName(new URL(path, location).href).pop();
  const cells = [
    path,
    timing ? timing.nextHopProtocol : "",
    answer.headers.get("cache-status") || "",
    answer.headers.get("age") || "",
  ];
  const row = document.createElement("tr");
  for (const text of cells) {
    const cell = document.createElement("td");
    cell.textContent = text;
    row.append(cell);
  }
  document.getElementById("files").append(row);
}

(async () => {
  for (const path of ["/", "/style.css", "/app.js", "/orbit.svg"]) await show(path);
})();
