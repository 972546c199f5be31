// Colours, dashes and markers: what tells one line from another, on a light page and on a dark one.

export const PALETTE = {
  light: ["#0072b2", "#d55e00", "#00795a", "#a8328a", "#8a6d00", "#3d3d3d", "#5a4fcf", "#b3261e"],
  dark: ["#62bdf0", "#ff9357", "#3fd6a5", "#ee94d2", "#ecc445", "#e2e2e2", "#aaa2ff", "#aa7a72"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 2]];
const DASHED = [6, 4]; // where the series itself asks for it
const MARKERS = ["circle", "square", "triangle", "diamond"];
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

const around = (list, index) => list[index % list.length];

export function colourOf(theme, index) { return around(theme.palette, index); }

export function markerOf(index) { return around(MARKERS, index); }

// `several`: whether the view has more than one curve, so that colour alone must not tell them apart.
export function dashOf(series, several) {
  if (series.dashed) return DASHED;
  return several ? around(DASHES, series.colour) : [];
}

// First layer dark, last layer light; the end that would be too near to the page's own colour is cut off.
export function layerColour(index, count, dark) {
  const share = count > 1 ? index / (count - 1) : 0;
  const place = (dark ? 0.36 + 0.64 * share : 0.58 * share) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mix = VIRIDIS[low].map((c, i) => Math.round(c + (VIRIDIS[low + 1][i] - c) * (place - low)));
  return `rgb(${mix.join(",")})`;
}
