// Where the views stand on the stage, and how high it is.

const NARROW = 250; // px of a view: side by side above, one below the other under it
const STACKED_HEIGHT = 220;
const STACKED_MAP_HEIGHT = 300;
const SHORT_WINDOW = "max(340px, 57vh)"; // the picture leaves room for controls

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

// On a narrow or magnified page the views stand one below the other.
function arrangeViews(stage) {
  const { widths, views, height } = stage.scene;
  const unit = stage.board.clientWidth / sum(widths);
  const narrowest = Math.min(...views.map(({ cell }) => unit * sum(widths.slice(cell[0], cell[0] + cell[2]))));
  stage.stacked = unit > 0 && widths.length > 1 && narrowest < NARROW
    ? views.map((view) => (view.cell[3] > 1 || view.pad ? STACKED_MAP_HEIGHT : STACKED_HEIGHT)) : null;
  stage.board.style.height = stage.stacked ? `${sum(stage.stacked)}px` : `min(${height}px, ${SHORT_WINDOW})`;
  stage.root.classList.toggle("wl-stacked", Boolean(stage.stacked));
  stage.root.style.setProperty("--wl-pinned", `${stage.pinned.offsetHeight}px`);
}

// The view's part of a board of this size; `number` is its place among the views.
function cellBox({ scene, stacked }, { cell }, number, width, height) {
  if (stacked) return { x: 0, y: sum(stacked.slice(0, number)), w: width, h: stacked[number] };
  const place = (sizes, from, count, whole) => {
    const total = sum(sizes);
    return [(sum(sizes.slice(0, from)) / total) * whole, (sum(sizes.slice(from, from + count)) / total) * whole];
  };
  const [x, w] = place(scene.widths, cell[0], cell[2], width);
  const [y, h] = place(scene.heights, cell[1], cell[3], height);
  return { x, y, w, h };
}
