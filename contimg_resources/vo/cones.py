"""Simple Cone Search 1.03 over sources and candidates.

Belongs here: its parameters and the UCDs that it asks for. Doesn't: HTTP.
"""

import numpy as np

from contimg_resources.core.errors import BadRequest
from contimg_resources.vo.parameters import Parameters
from contimg_resources.vo.records import CANDIDATE_TABLE, SOURCE_TABLE, Rows
from contimg_resources.vo.regions import separations_deg
from contimg_resources.vo.votables import LinkService, results, with_ucds

#: Tables by the last part of the service's address, and their column of ids.
CONES = {"sources": (SOURCE_TABLE, "source_id"), "candidates": (CANDIDATE_TABLE, "id")}

#: The standard asks for names of the first generation of UCDs.
_POSITION_UCDS = {"ra_deg": "POS_EQ_RA_MAIN", "dec_deg": "POS_EQ_DEC_MAIN"}


def search_cone(rows: Rows, parameters: Parameters, id_column: str, links: str) -> bytes:
    """Return the rows within a radius, the nearest first; with radius 0 the columns alone.

    Raises
    ------
    BadRequest
        If RA, DEC or SR is missing or impossible.
    """
    ra_deg = parameters.number("RA", 0.0, 360.0)
    dec_deg = parameters.number("DEC", -90.0, 90.0)
    radius_deg = parameters.number("SR", 0.0, 180.0)
    if parameters.one("VERB", "2") not in ("1", "2", "3"):
        raise BadRequest("VERB: expected 1, 2 or 3")
    parameters.response_format()
    n_most = 0 if radius_deg == 0 else parameters.most_rows()
    # Light curves that somebody added may have no position.
    placed = rows.select(np.isfinite(rows.values["ra_deg"]) & np.isfinite(rows.values["dec_deg"]))
    away_deg = separations_deg(ra_deg, dec_deg, placed.values["ra_deg"], placed.values["dec_deg"])
    near = np.flatnonzero(away_deg <= radius_deg)
    near = near[np.argsort(away_deg[near], kind="stable")]
    found = placed.select(near[:n_most])
    return results(
        rows.name,
        with_ucds(rows.about, {**_POSITION_UCDS, id_column: "ID_MAIN"}),
        found.values,
        overflow=len(near) > n_most > 0,
        links=LinkService(links, id_column),
    )
