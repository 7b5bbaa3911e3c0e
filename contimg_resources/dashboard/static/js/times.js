// Display of times. Belongs here: MJD (UTC, days) as dates, ages in words. Doesn't: time zones.

const UNIX_EPOCH_MJD = 40587;
const DAY_MS = 86_400_000;

/** Convert an MJD to a Date. */
export const dateOf = (mjd) => new Date((mjd - UNIX_EPOCH_MJD) * DAY_MS);

/** Convert a Date, or milliseconds since 1970, to an MJD. */
export const mjdOf = (date) => Number(date) / DAY_MS + UNIX_EPOCH_MJD;

/** Present time by this machine's clock, MJD. */
export const nowMjd = () => mjdOf(Date.now());

const iso = (mjd) => {
  const date = dateOf(mjd);
  return Number.isFinite(date.getTime()) ? date.toISOString() : "".padEnd(20);
};

/** "2026-01-14". */
export const dayText = (mjd) => (mjd === null ? "–" : iso(mjd).slice(0, 10));

/** "2026-01-14 07:31". */
export const utcText = (mjd) => (mjd === null ? "–" : iso(mjd + 30 / 86_400).slice(0, 16).replace("T", " "));

/** "07:31". */
export const clockText = (mjd) => iso(mjd + 30 / 86_400).slice(11, 16);

/** Describe a duration in days: "12 min", "3.2 h", "4.1 days". */
export function lengthText(days) {
  const minutes = Math.abs(days) * 1440;
  if (minutes < 1) return "less than a minute";
  if (minutes < 90) return `${Math.round(minutes)} min`;
  if (minutes < 48 * 60) return `${(minutes / 60).toFixed(1)} h`;
  return `${minutes < 14_400 ? (minutes / 1440).toFixed(1) : Math.round(minutes / 1440)} days`;
}
