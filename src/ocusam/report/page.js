// Draws the figures, and shows the frame of a clicked moment: the stored picture nearest to it at once, the very
// frame as soon as overlay.mp4 beside the page has it.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const figures = read("figures"), pictures = read("pictures"), { there } = read("film");
const panel = document.getElementById("picture");
const film = document.createElement("video");
film.muted = true;
film.preload = "auto";
let wanted = null, ready = false;

function label(text) {
  const line = document.createElement("p");
  line.textContent = text;
  return line;
}

function nearest(seconds, view) {
  const mine = pictures.filter((p) => view === null || p.view === null || p.view === view);
  let best = mine[0];
  for (const p of mine) if (Math.abs(p.seconds - seconds) < Math.abs(best.seconds - seconds)) best = p;
  return best;
}

function show(seconds, view) {
  wanted = seconds;
  // A frame is on show until the next one begins: half a millisecond later it is the one that was meant.
  if (ready) film.currentTime = Math.max(0, seconds + 0.0005);
  if (panel === null) return;
  const best = nearest(seconds, view);
  if (best === undefined) return;
  const image = document.createElement("img");
  image.src = "data:image/jpeg;base64," + best.jpeg;
  image.alt = "frame " + best.frame;
  const off = best.seconds - seconds;
  panel.replaceChildren(image, label("frame " + best.frame + ", " + best.seconds.toFixed(3) + " s" +
    (Math.abs(off) > 0.0005 ? " (nearest stored picture, " + (off > 0 ? "+" : "") + off.toFixed(3) + " s)" : "") +
    (best.why ? " – " + best.why : "")));
}

film.addEventListener("loadeddata", () => {
  ready = true;
  if (wanted !== null) film.currentTime = Math.max(0, wanted + 0.0005);
});
film.addEventListener("seeked", () => {
  if (panel === null || wanted === null) return;
  panel.replaceChildren(film, label(wanted.toFixed(3) + " s, from overlay.mp4"));
});
film.addEventListener("error", () => { ready = false; });
if (panel !== null && there) film.src = "overlay.mp4";

for (const figure of figures) {
  const place = document.getElementById(figure.id);
  Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displaylogo: false }).then(() => {
    place.on("plotly_click", (event) => {
      const point = event.points[0];
      const known = point.customdata !== undefined && point.customdata !== null;
      if (figure.view === null && !known) return;
      show(Number(known ? point.customdata : point.x), figure.view);
    });
  });
}
for (const row of document.querySelectorAll("[data-seconds]")) {
  row.addEventListener("click", () => {
    show(Number(row.dataset.seconds), row.dataset.view === "" ? null : Number(row.dataset.view));
    if (panel !== null) panel.scrollIntoView({ block: "nearest" });
  });
}
if (pictures.length) show(pictures[0].seconds, null);
