// HEALPix in nested order (Gorski et al. 2005, ApJ 622, 759). Belongs here: directions of cells and
// cells of directions. Doesn't: drawing.

const RAD = Math.PI / 180;
/** Ring of a base cell's southernmost corner, and its longitude, in units of 45 degrees. */
const RINGS = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
const LONGITUDES = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];

/** Every second bit of a number. */
function odd(bits, first, n) {
  let found = 0;
  for (let i = 0; i < n; i++) found += Math.floor(bits / 2 ** (2 * i + first)) % 2 ? 2 ** i : 0;
  return found;
}

/** Return {ra, dec} in degrees of a place in a cell: u along its x (north-east), v along its y, from 0 to 1. */
export function placeIn(order, number, u, v) {
  const inside = number % 4 ** order;
  const face = Math.round((number - inside) / 4 ** order);
  const [x, y] = [(odd(inside, 0, order) + u) / 2 ** order, (odd(inside, 1, order) + v) / 2 ** order];
  const ring = RINGS[face] - x - y;
  let [n, z] = [1, ((2 - ring) * 2) / 3];
  if (ring < 1) [n, z] = [ring, 1 - (ring * ring) / 3];
  else if (ring > 3) [n, z] = [4 - ring, ((4 - ring) * (4 - ring)) / 3 - 1];
  const along = LONGITUDES[face] * n + x - y;
  const ra = n < 1e-12 ? 0 : (45 * along) / n;
  return { ra: (ra + 360) % 360, dec: Math.asin(Math.max(-1, Math.min(1, z))) / RAD };
}

/** Return {face, x, y} of a direction: the base cell, and the place in it in cells of an order. */
function within(order, { ra, dec }) {
  const side = 2 ** order;
  const z = Math.sin(dec * RAD);
  const quarter = ((((ra % 360) + 360) % 360) / 90) % 4;
  if (Math.abs(z) <= 2 / 3) {
    const [up, down] = [Math.floor(side * (0.5 + quarter - 0.75 * z)), Math.floor(side * (0.5 + quarter + 0.75 * z))];
    const [p, m] = [Math.floor(up / side), Math.floor(down / side)];
    const face = p === m ? (p === 4 ? 4 : p + 4) : p < m ? p : m + 8;
    return { face, x: down % side, y: side - (up % side) - 1 };
  }
  const which = Math.min(3, Math.floor(quarter));
  // From the cosine of the declination: near a pole 1 - |z| has lost its digits.
  const far = side * Math.cos(dec * RAD) * Math.sqrt(3 / (1 + Math.abs(z)));
  const [p, m] = [(quarter - which) * far, (1 - quarter + which) * far].map((v) => Math.min(side - 1, Math.floor(v)));
  return z > 0 ? { face: which, x: side - m - 1, y: side - p - 1 } : { face: which + 8, x: p, y: m };
}

/** Return the tile of `order` that a direction is in, and its pixel {number, x, y} of 2^depth a side. */
export function pixelAt(order, depth, place) {
  const { face, x, y } = within(order + depth, place);
  const side = 2 ** depth;
  let number = 0;
  for (let i = 0; i < order; i++) number += ((Math.floor(x / side / 2 ** i) % 2) + 2 * (Math.floor(y / side / 2 ** i) % 2)) * 4 ** i;
  return { number: face * 4 ** order + number, x: x % side, y: y % side };
}
