// Draws the figures, and shows the stored picture nearest to a clicked moment.
const figures = JSON.parse(document.getElementById("figures").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const panel = document.getElementById("picture");

function show(seconds, view) {
  const mine = pictures.filter((p) => view === null || p.view === null || p.view === view);
  if (!mine.length) return;
  let best = mine[0];
  for (const p of mine) if (Math.abs(p.seconds - seconds) < Math.abs(best.seconds - seconds)) best = p;
  panel.replaceChildren();
  const image = document.createElement("img");
  image.src = "data:image/jpeg;base64," + best.jpeg;
  image.alt = "frame " + best.frame;
  const text = document.createElement("p");
  const off = best.seconds - seconds;
  text.textContent = "frame " + best.frame + ", " + best.seconds.toFixed(3) + " s" +
    (Math.abs(off) > 0.0005 ? " (nearest stored picture, " + (off > 0 ? "+" : "") + off.toFixed(3) + " s)" : "") +
    (best.why ? " – " + best.why : "");
  panel.append(image, text);
}

for (const figure of figures) {
  const place = document.getElementById(figure.id);
  Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displaylogo: false }).then(() => {
    place.on("plotly_click", (event) => {
      const point = event.points[0];
      show(point.customdata !== undefined ? Number(point.customdata) : Number(point.x), figure.view);
    });
  });
}
for (const row of document.querySelectorAll("[data-seconds]")) {
  row.addEventListener("click", () => {
    show(Number(row.dataset.seconds), row.dataset.view === "" ? null : Number(row.dataset.view));
    panel.scrollIntoView({ block: "nearest" });
  });
}
if (pictures.length) show(pictures[0].seconds, null);
