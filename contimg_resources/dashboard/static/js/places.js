// Places on the sky. Belongs here: reading positions that people type, separations, addresses of
// other services about a position. Doesn't: how positions are written (see numbers.js).

const RAD = Math.PI / 180;
/** Rotation from galactic to ICRS coordinates (Hipparcos and Tycho Catalogues, vol. 1, eq. 1.5.11). */
const FROM_GALACTIC = [
  [-0.0548755604, 0.4941094279, -0.867666149],
  [-0.8734370902, -0.44482963, -0.1980763734],
  [-0.4838350155, 0.7469822445, 0.4559837762],
];

const NUMBER = String.raw`[-+]?\d+(?:\.\d+)?`;
const PAIR = new RegExp(`^(${NUMBER})[\\s,]+(${NUMBER})$`);
const SEXAGESIMAL = /^(\d{1,2})[h:\s]\s*(\d{1,2})(?:[m:\s]\s*(\d{1,2}(?:\.\d+)?)\s*s?)?[\s,]*([-+])\s*(\d{1,2})[d°:\s]\s*(\d{1,2})(?:['m:\s]\s*(\d{1,2}(?:\.\d+)?)\s*["s]?)?['"]?$/i;
/** Names that are positions: NVSS J013741+330935, J0137+3309. */
const JNAME = /J(\d{2})(\d{2})(\d{2}(?:\.\d+)?)?([-+])(\d{2})(\d{2})(\d{2}(?:\.\d+)?)?$/i;

const inSky = (ra, dec) => (ra >= 0 && ra <= 360 && Math.abs(dec) <= 90 ? { ra, dec } : null);

function fromParts(h, m, s, sign, d, am, as) {
  if (+h >= 24 || +m >= 60 || +(s ?? 0) >= 60 || +am >= 60 || +(as ?? 0) >= 60) return null;
  const dec = +d + am / 60 + (as ?? 0) / 3600;
  return inSky(15 * (+h + m / 60 + (s ?? 0) / 3600), sign === "-" ? -dec : dec);
}

function fromGalactic(l, b) {
  if (l < 0 || l > 360 || Math.abs(b) > 90) return null;
  const v = [Math.cos(b * RAD) * Math.cos(l * RAD), Math.cos(b * RAD) * Math.sin(l * RAD), Math.sin(b * RAD)];
  const [x, y, z] = FROM_GALACTIC.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
  return { ra: (Math.atan2(y, x) / RAD + 360) % 360, dec: Math.asin(Math.max(-1, Math.min(1, z))) / RAD };
}

/**
 * Return {ra, dec} in degrees (ICRS) of a text, null if it isn't a position: "24.42 33.16",
 * "01:37:41.3 +33:09:35", "01h37m41s +33d09m35s", galactic "G 134.0 -28.7", "NVSS J013741+330935".
 */
export function readPosition(text) {
  const plain = text.trim().replaceAll("−", "-");
  const galactic = plain.match(new RegExp(`^(?:gal|galactic|G|l,?\\s*b)[\\s:=]*(${NUMBER})[\\s,]*(${NUMBER})$`, "i"));
  if (galactic) return fromGalactic(+galactic[1], +galactic[2]);
  const pair = plain.match(PAIR);
  if (pair) return inSky(+pair[1], +pair[2]);
  const found = plain.match(SEXAGESIMAL) ?? plain.match(JNAME);
  return found ? fromParts(...found.slice(1)) : null;
}

/** Return the separation of two places, degrees (Vincenty's formula on a sphere). */
export function separation(a, b) {
  const [d1, d2, dl] = [a.dec * RAD, b.dec * RAD, (a.ra - b.ra) * RAD];
  const x = Math.sin(d1) * Math.sin(d2) + Math.cos(d1) * Math.cos(d2) * Math.cos(dl);
  const y = Math.hypot(Math.cos(d2) * Math.sin(dl), Math.cos(d1) * Math.sin(d2) - Math.sin(d1) * Math.cos(d2) * Math.cos(dl));
  return Math.atan2(y, x) / RAD;
}

/** "12.3″", "4.5′" or "1.2°". */
export function separationText(deg) {
  if (deg < 1 / 60) return `${(deg * 3600).toFixed(1)}″`;
  return deg < 1 ? `${(deg * 60).toFixed(1)}′` : `${deg.toFixed(1)}°`;
}

/** Return [name, address] of services that know what else is at a place. */
export function servicesAt({ ra, dec }) {
  const at = `${ra.toFixed(5)} ${dec < 0 ? "" : "+"}${dec.toFixed(5)}`;
  const q = encodeURIComponent(at);
  return [
    ["SIMBAD", `https://simbad.cds.unistra.fr/simbad/sim-coo?Coord=${q}&Radius=30&Radius.unit=arcsec`],
    ["NED", `https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&in_csys=Equatorial&in_equinox=J2000&ra=${ra.toFixed(5)}&dec=${dec.toFixed(5)}&radius=0.5`],
    ["VizieR", `https://vizier.cds.unistra.fr/viz-bin/VizieR-4?-c=${q}&-c.rs=30`],
    ["Aladin", `https://aladin.cds.unistra.fr/AladinLite/?target=${q}&fov=0.2`],
  ];
}
