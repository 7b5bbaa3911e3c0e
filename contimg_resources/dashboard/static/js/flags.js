// Descriptions of the flags of a measurement. They equal those of
// contimg_resources.photometry.flags; a test compares the two.

const WORDS = [
  [1, "blank pixels in the stamp"],
  [2, "stamp over the edge of the image"],
  [4, "outside the observed sky"],
  [8, "solved jointly with neighbours"],
  [16, "not a point source with the image's beam"],
  [32, "too close to a neighbour to be separated"],
  [64, "too few pixels around it to measure the noise"],
  [128, "wider than the beam; see its integrated flux density"],
];

/** One phrase per flag; empty without flags. */
export function flagWords(flags) {
  const found = WORDS.filter(([bit]) => flags & bit).map(([, words]) => words);
  return flags && !found.length ? `flags ${flags}` : found.join(", ");
}
