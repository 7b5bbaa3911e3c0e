"""Simple Image Access 2.0 over images and mosaics.

Belongs here: the parameters of a query and the rows that they choose. Doesn't: HTTP, the columns
(see `obscore`).

Values of one parameter are alternatives; all parameters must hold. A value that isn't known fits
none.
"""

from collections.abc import Callable, Sequence

import numpy as np

from contimg_resources.core.arrays import Bools
from contimg_resources.core.errors import BadRequest
from contimg_resources.vo.parameters import Parameters, shortened
from contimg_resources.vo.records import Rows
from contimg_resources.vo.regions import parse_shape
from contimg_resources.vo.votables import LinkService, results

#: Parameters that are compared with one column: as interval, as text.
_NUMBERS = {
    "FOV": "s_fov",
    "SPATRES": "s_resolution",
    "EXPTIME": "t_exptime",
    "TIMERES": "t_resolution",
    "SPECRP": "em_res_power",
}
_TEXTS = {
    "ID": "obs_publisher_did",
    "COLLECTION": "obs_collection",
    "FACILITY": "facility_name",
    "INSTRUMENT": "instrument_name",
    "DPTYPE": "dataproduct_type",
    "TARGET": "target_name",
    "FORMAT": "access_format",
}
#: Parameters that overlap with the interval of two columns.
_SPANS = {"BAND": ("em_min", "em_max"), "TIME": ("t_min", "t_max")}
_LEVELS = ("0", "1", "2", "3", "4")


def query_images(rows: Rows, parameters: Parameters, links: str) -> bytes:
    """Return the images and mosaics that a query chooses, in the order of time.

    Raises
    ------
    BadRequest
        If a parameter is impossible.
    """
    n_most = parameters.most_rows()
    _check_response_format(parameters)
    chosen = np.flatnonzero(_chosen(rows, parameters))
    return results(
        rows.name,
        rows.about,
        rows.select(chosen[:n_most]).values,
        overflow=len(chosen) > n_most > 0,
        links=LinkService(links, "obs_publisher_did"),
    )


def _check_response_format(parameters: Parameters) -> None:
    # FORMAT is the one of the images here.
    if (text := parameters.one("RESPONSEFORMAT")) is not None:
        Parameters([("RESPONSEFORMAT", text)]).response_format()


def _chosen(rows: Rows, parameters: Parameters) -> Bools:
    values, corners = rows.values, rows.corners_deg
    assert corners is not None
    chosen = np.ones(len(rows), np.bool_)
    if shapes := parameters.all("POS"):
        chosen &= _any([parse_shape("POS", text).meets(corners) for text in shapes])
    for name, (low, high) in _SPANS.items():
        if spans := parameters.intervals(name):
            overlaps = [(values[low] <= end) & (values[high] >= begin) for begin, end in spans]
            chosen &= _any(overlaps)
    for name, column in _NUMBERS.items():
        if spans := parameters.intervals(name):
            within = [(values[column] >= begin) & (values[column] <= end) for begin, end in spans]
            chosen &= _any(within)
    for name, column in _TEXTS.items():
        if texts := parameters.all(name):
            chosen &= np.isin(values[column], texts)
    if states := parameters.all("POL"):
        chosen &= _any([_holds(values["pol_states"], state) for state in states])
    if levels := parameters.all("CALIB"):
        if wrong := [text for text in levels if text not in _LEVELS]:
            raise BadRequest(f"CALIB: expected 0 to 4, not {shortened(wrong[0])!r}")
        chosen &= np.isin(values["calib_level"], [int(text) for text in levels])
    return chosen


def _holds(column: np.ndarray[tuple[int, ...], np.dtype[np.str_]], state: str) -> Bools:
    return np.array([f"/{state.upper()}/" in text for text in column.tolist()], np.bool_)


_any: Callable[[Sequence[Bools]], Bools] = np.logical_or.reduce
