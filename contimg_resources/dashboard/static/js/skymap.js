// A map of the sky made of HiPS tiles. Belongs here: which tiles are in view, drawing them, values of
// their pixels. Doesn't: moving the view (see views/map.js), HEALPix (see healpix.js).

import { pixelAt, placeIn } from "./healpix.js";
import { pixelOf } from "./imageviewer.js";
import { separation } from "./places.js";

const SIDE = 512;
const DEPTH = 9;
/** Side of a tile of order 0, degrees. */
const TILE_DEG = 58.6323;
/** Number of parts along each side of a tile; the projection within a part is taken as flat. */
const PARTS = 4;
const MOST_PICTURES = 400;
const MOST_VALUES = 12;
const FITS_BLOCK = 2880;

/** Keep at most `most` entries of a map, the latest. */
function trim(map, most) {
  while (map.size > most) map.delete(map.keys().next().value);
}

/** Values of a FITS tile: big-endian floats after the header, which ends with END. */
function valuesOf(buffer) {
  const text = new TextDecoder("latin1").decode(buffer.slice(0, 10 * FITS_BLOCK));
  let at = 0;
  while (text.slice(at, at + 8).trim() !== "END") {
    at += 80;
    if (at >= text.length) throw new Error("a tile has no end of its header");
  }
  return new DataView(buffer, FITS_BLOCK * Math.ceil((at + 80) / FITS_BLOCK));
}

/** Open a map: `root` is its address, `coverage` lists its tiles; `changed` is called when one is loaded. */
export function skyMap(root, { order, tiles }, changed) {
  const numbers = Array.from({ length: order + 1 }, (_, k) => new Set(tiles.map((n) => Math.floor(n / 4 ** (order - k)))));
  const pictures = new Map();
  const values = new Map();
  const address = (k, n, ending) => `${root}/Norder${k}/Dir${Math.floor(n / 10000) * 10000}/Npix${n}.${ending}`;

  function picture(k, n) {
    const src = address(k, n, "png");
    let found = pictures.get(src);
    if (!found) {
      found = new Image();
      found.onload = changed;
      found.src = src;
      pictures.set(src, found);
      trim(pictures, MOST_PICTURES);
    }
    return found.complete && found.naturalWidth ? found : null;
  }

  /** Draw a tile onto a grid whose pixels are those of the canvas, upwards. */
  function drawTile(context, grid, k, n, image) {
    const corners = [];
    for (let u = 0; u <= PARTS; u++) {
      for (let v = 0; v <= PARTS; v++) {
        const at = pixelOf(grid, placeIn(k, n, u / PARTS, v / PARTS));
        // Pixel 0 extends from 0 to 1 on the canvas.
        corners.push(at && [at.x + 0.5, grid.rows - 0.5 - at.y]);
      }
    }
    const part = SIDE / PARTS;
    for (let u = 0; u < PARTS; u++) {
      for (let v = 0; v < PARTS; v++) {
        const [here, down, right] = [u * (PARTS + 1) + v, (u + 1) * (PARTS + 1) + v, u * (PARTS + 1) + v + 1].map((i) => corners[i]);
        if (!here || !down || !right) continue;
        // Rows of a picture run along x, its columns along y.
        context.setTransform((right[0] - here[0]) / part, (right[1] - here[1]) / part, (down[0] - here[0]) / part, (down[1] - here[1]) / part, here[0], here[1]);
        // A little larger, so that no gaps show.
        context.drawImage(image, v * part, u * part, part, part, 0, 0, part * 1.004, part * 1.004);
      }
    }
  }

  return {
    order,
    /** Draw what is in view: `grid` is centred on `place`, `fov` degrees wide. */
    draw(context, grid, place, fov) {
      const wanted = Math.round(Math.log2((TILE_DEG * grid.columns) / (fov * SIDE)));
      const best = Math.max(Math.min(3, order), Math.min(order, wanted));
      const reach = 0.5 * fov * Math.hypot(1, grid.rows / grid.columns);
      let n = 0;
      // Lower orders first: they show until the better ones are loaded.
      for (const k of best > 3 ? [Math.max(3, best - 2), best] : [best]) {
        for (const number of numbers[k]) {
          if (separation(placeIn(k, number, 0.5, 0.5), place) > reach + (0.9 * TILE_DEG) / 2 ** k) continue;
          const image = picture(k, number);
          if (image) drawTile(context, grid, k, number, image);
          if (k === best) n += 1;
        }
      }
      context.setTransform(1, 0, 0, 1, 0, 0);
      return { order: best, n };
    },
    /** Return a promise of the value at a place, Jy/beam; null where nothing was observed, undefined without values. */
    async valueAt(place) {
      const { number, x, y } = pixelAt(order, DEPTH, place);
      if (!numbers[order].has(number)) return null;
      if (!values.has(number)) {
        values.set(number, fetch(address(order, number, "fits")).then(async (answer) => (answer.ok ? valuesOf(await answer.arrayBuffer()) : undefined)));
        trim(values, MOST_VALUES);
      }
      const found = await values.get(number);
      // Rows of a FITS tile are reversed.
      const value = found?.getFloat32(4 * ((SIDE - 1 - x) * SIDE + y));
      return found && !Number.isFinite(value) ? null : value;
    },
  };
}
