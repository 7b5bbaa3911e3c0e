"""Names lead to positions: calibrators, catalogues, Sesame."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.core.errors import ContimgError
from contimg_resources.dashboard.naming import Names

#: As Sesame answers with -oI.
KNOWN = """# M 31\t#Q22523669
#=S=Simbad (via url):    1
%@ 1575544
%C.0 AGN
%J 10.684708 +41.268750 = 00:42:44.33 +41:16:07.5
%J.E [1.0 1.0 90] C 2006AJ....131.1163S
"""
UNKNOWN = "# nothing\t#Q1\n#!SIMBAD: No known catalog could be found\n"


class _Sesame(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = unquote(self.path).partition("?")[2]
        body = {"M 31": KNOWN, "odd": "%J 10.6.8 +41", "far": "%J 500.0 +41.0 ="}.get(name, UNKNOWN)
        self.send_response(500 if name == "broken" else 200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def sesame() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Sesame) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/nph-sesame"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("names")
    table = root / "t.csv"
    table.write_text(
        "name,ra_deg,dec_deg,flux_jy,reference_ghz\n"
        "4C +37.11,61.45,38.05,0.9,1.4\nNVSS J013741+330935,24.42,33.16,16,1.4\n"
    )
    CatalogueStore(root / "catalogues").add("field", table)
    return root / "catalogues"


def test_calibrators_catalogues_and_sesame_are_asked_in_this_order(
    catalogues: Path, sesame: str
) -> None:
    names = Names(catalogues, None, sesame)
    name, ra_deg, dec_deg, by = names.find("3c 48")
    assert (name, by) == ("3C48", "the list of calibrators")
    assert (ra_deg, dec_deg) == pytest.approx((24.42208, 33.15976), abs=1e-4)
    assert names.find("4c+37.11") == ("4C +37.11", 61.45, 38.05, "catalogue field")
    assert names.find("nvss j013741+330935")[1:3] == (24.42, 33.16)
    assert names.find("M 31") == ("M 31", 10.684708, 41.26875, "Sesame")


@pytest.mark.parametrize("name", ["nobody", "odd", "far", "broken", "' OR 1=1 --", "../../x", "%J"])
def test_an_unknown_name_has_a_reason(catalogues: Path, sesame: str, name: str) -> None:
    with pytest.raises(ContimgError, match=r"no calibrator and no source of field is called"):
        Names(catalogues, None, sesame).find(name)


def test_without_a_network_or_by_a_setting_sesame_isnt_asked(tmp_path: Path) -> None:
    with pytest.raises(ContimgError, match="Sesame can't be asked: Connection refused"):
        Names(tmp_path, None, "http://127.0.0.1:9/x").find("M 31")
    with pytest.raises(ContimgError, match=r"Sesame isn't asked \(setting dashboard.sesame_url\)"):
        Names(tmp_path, None, "").find("M 31")
