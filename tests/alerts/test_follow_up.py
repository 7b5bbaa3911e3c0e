"""The report of a candidate: as JSON by its schema, as VOEvent 2.0 by that of the IVOA."""

import json
import math
from base64 import b64decode
from dataclasses import replace
from datetime import datetime
from email import message_from_string
from email.policy import default
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from contimg_resources.export.follow_up import FollowUp, as_json, as_voevent, follow_up
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState, Mark, MarkRecord
from contimg_resources.settings import AlertSettings
from contimg_resources.steps.alerting import tell_alerts
from contimg_resources.steps.cards import draw_candidate
from contimg_resources.steps.verifying import unrecorded_files, verify_products
from tests.alerts.conftest import NOW, make_candidate, make_workshop
from tests.alerts.servers import Hook, MailServer
from tests.variability.curves import light_curves

IVORN = "ivo://example.org/dsa110"
#: Children and attributes of each element, after the IVOA's recommendation VOEvent 2.0 (Seaman et
#: al. 2011), section 3, as far as events of sources need them. None: text.
GRAMMAR: dict[str, tuple[str | None, str]] = {
    "VOEvent": (
        "Who What WhereWhen How Why Citations Description Reference",
        "version ivorn role schemaLocation",
    ),
    "Who": ("AuthorIVORN Date Description Reference Author", ""),
    "Author": ("title shortName contactName contactEmail contactPhone contributor", ""),
    "What": ("Param Group Table Description Reference", ""),
    "Param": ("Description Reference Value", "name ucd value unit dataType utype"),
    "WhereWhen": ("ObsDataLocation Description Reference", ""),
    "ObsDataLocation": ("ObservatoryLocation ObservationLocation", ""),
    "ObservatoryLocation": ("AstroCoordSystem AstroCoords", "id"),
    "ObservationLocation": ("AstroCoordSystem AstroCoords", ""),
    "AstroCoordSystem": ("", "id"),
    "AstroCoords": ("Time Position2D Position3D", "coord_system_id"),
    "Time": ("TimeInstant Error", "unit"),
    "TimeInstant": ("ISOTime", ""),
    "Position2D": ("Name1 Name2 Value2 Error2Radius", "unit"),
    "Position3D": ("Name1 Name2 Name3 Value3", "unit"),
    "Value2": ("C1 C2", ""),
    "Value3": ("C1 C2 C3", ""),
    "How": ("Description Reference", ""),
    "Why": ("Name Concept Inference Description Reference", "importance expires"),
    "Citations": ("EventIVORN Description", ""),
    "EventIVORN": (None, "cite"),
    "Reference": ("", "uri type mimetype meaning"),
}
DAY = math.floor(NOW) - 1
DIP = FittedDip(
    depth=0.35,
    depth_error=0.02,
    width_days=30.0,
    width_error_days=2.0,
    mid_error_days=1.0,
    baseline_jy=0.2,
    baseline_error_jy=0.004,
    template="Fiedler, lens 2, scattering 4",
    threshold=12.5,
)


def candidate(**changes: object) -> CandidateRecord:
    """Return an event whose minimum was ten days before the end of the data."""
    mid_mjd = DAY + 1 - 10.0
    values = {
        "id": "ese-61031-nvss-013741+330935",
        "start_mjd": mid_mjd - 15,
        "mid_mjd": mid_mjd,
        "end_mjd": mid_mjd + 15,
        "parameters": DIP,
        "first_day": DAY,
        "searched_day": DAY,
    }
    return make_candidate(**{**values, **changes})


def params(event: ElementTree.Element) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in event.iter("Param")}


def checked(one: CandidateRecord, **how: str) -> tuple[FollowUp, ElementTree.Element]:
    """Return both forms of a report; they are valid."""
    report = follow_up(one, ivorn=IVORN, **how)
    assert FollowUp.model_validate_json(as_json(report)) == report
    data = as_voevent(report, one, ivorn=IVORN)
    root = ElementTree.fromstring(data)
    check_grammar(root)
    return report, root


def check_grammar(root: ElementTree.Element) -> None:
    """Fail where a packet has something that a VOEvent has not."""
    assert root.tag == "{http://www.ivoa.net/xml/VOEvent/v2.0}VOEvent"
    assert (root.get("version"), root.get("role")) == ("2.0", "observation")
    # Only the root has the namespace.
    for element in root.iter():
        name = element.tag.partition("}")[2] or element.tag
        children, attributes = GRAMMAR.get(name, (None, ""))
        assert {a.partition("}")[2] or a for a in element.attrib} <= set(attributes.split()), name
        assert {child.tag for child in element} <= set((children or "").split()), name
        assert element.get("dataType", "string") in ("string", "float", "int")
        assert element.get("cite", "supersedes") in ("followup", "supersedes", "retraction")
        if name in ("Who", "What", "WhereWhen", "How", "Why", "Citations"):
            assert len(root.findall(name)) == 1, name
        if "IVORN" in name:
            assert (element.text or "").startswith("ivo://")
        if name in ("Date", "ISOTime"):
            assert datetime.fromisoformat(element.text or "").tzinfo is None


def test_an_observer_reads_where_how_deep_and_until_when() -> None:
    report, event = checked(candidate(), url="https://dsa.example/#/candidates/x", mark="real")
    assert (report.phase, report.is_end_predicted) == ("egress", True)
    assert report.phase_widths == pytest.approx(10 / 30, rel=1e-5)
    assert report.end_mjd == pytest.approx(DAY + 1 + 5)
    assert report.end_error_days == pytest.approx(math.hypot(1.0, 1.0), rel=1e-5)
    assert report.baseline_return_mjd == pytest.approx(DAY + 1 + 20)
    assert report.minimum_mjy == pytest.approx(130.0)
    assert report.frequency_ghz == pytest.approx(1.405)
    assert event.get("ivorn") == f"{IVORN}#{report.id}/{DAY}"
    assert float(event.findtext(".//Value2/C1", "")) == 24.4221
    assert float(event.findtext(".//Value2/C2", "")) == 33.1597
    assert event.findtext(".//ObservationLocation//ISOTime") == report.mid_utc.removesuffix("Z")
    assert float(event.findtext(".//Time/Error", "")) == 86_400.0
    told = params(event)
    assert (float(told["depth"]), float(told["end_mjd"])) == (0.35, report.end_mjd)
    assert (told["phase"], told["is_end_predicted"], told["mark"]) == ("egress", "true", "real")
    assert event.find("Reference") is not None
    assert event.find("Citations") is None


@pytest.mark.parametrize(
    ("changes", "phase", "is_predicted"),
    [
        ({"start_mjd": DAY - 2.0, "mid_mjd": DAY + 9.0, "end_mjd": DAY + 20.0}, "ingress", True),
        ({"state": CandidateState.COMPLETE, "end_mjd": DAY - 3.0}, "over", False),
        ({"state": CandidateState.WITHDRAWN}, "withdrawn", False),
    ],
)
def test_the_phase_is_that_at_the_end_of_the_data(
    changes: dict[str, object], phase: str, is_predicted: bool
) -> None:
    report, _ = checked(candidate(**changes))
    assert (report.phase, report.is_end_predicted) == (phase, is_predicted)


def test_later_packets_cite_the_first_and_a_withdrawal_retracts_it() -> None:
    first = f"{IVORN}#{candidate().id}/{DAY}"
    later = candidate(searched_day=DAY + 5)
    gone = replace(
        later,
        state=CandidateState.WITHDRAWN,
        evidence=DipEvidence(withdrawn="the dip is shared by its neighbours"),
    )
    for one, cite in ((later, "supersedes"), (gone, "retraction")):
        _, event = checked(one)
        (cited,) = event.findall("Citations/EventIVORN")
        assert (cited.text, cited.get("cite")) == (first, cite)
        assert event.get("ivorn") != first
    assert "shared by its neighbours" in (event.findtext("Citations/Description") or "")


def test_what_is_not_known_is_left_out_and_hostile_names_are_text() -> None:
    bare = candidate(
        source_id="x\r\n\x00<b>&\u202e", ra_deg=math.nan, dec_deg=math.nan,
        parameters=FittedDip(), evidence=DipEvidence(added_list="mine"),
    )  # fmt: skip
    report, event = checked(bare)
    assert report.depth is report.ra_deg is report.frequency_ghz is None
    assert event.find("WhereWhen") is None
    assert "depth" not in params(event)
    assert params(event)["source_id"] == "x \\x00<b>&\\u202e"


def test_an_alert_carries_the_report_and_the_card_keeps_it(
    tmp_path: Path, hook: Hook, mail: MailServer
) -> None:
    workshop = make_workshop(
        tmp_path,
        webhook=hook.url,
        email_to=("ada@example.org",),
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
        dashboard_url="https://dsa.example/",
        ivorn=IVORN,
    )
    one = candidate()
    workshop.products.events.put_candidates([one])
    workshop.products.events.put_mark(MarkRecord(one.id, Mark.FOLLOW_UP, "", "ada"))
    assert len(tell_alerts(workshop, now_mjd=NOW).sent) == 1
    body = json.loads(hook.bodies[0])
    files = {file["name"]: file for file in body["files"]}
    assert list(files) == [f"{one.id}.json", f"{one.id}.xml", f"{one.id}.png"]
    report = FollowUp.model_validate_json(files[f"{one.id}.json"]["text"])
    assert report.mark == "follow up"
    assert report.url == f"https://dsa.example/#/candidates/{one.id}"
    check_grammar(ElementTree.fromstring(files[f"{one.id}.xml"]["text"]))
    with Image.open(BytesIO(b64decode(files[report.finding_chart]["base64"]))) as chart:
        assert min(chart.size) > 500
    message = message_from_string(mail.mails[0], policy=default)
    assert [part.get_filename() for part in message.iter_attachments()] == list(files)
    # Written beside the card, as parts of the same product.
    draw_candidate(workshop, one, light_curves([[0.2] * 60], start_mjd=DAY - 60.0))
    kept = workshop.settings.layout.follow_up(f"{one.id}.xml")
    assert ElementTree.parse(kept).getroot().get("ivorn") == report.ivorn
    assert unrecorded_files(workshop) == {}
    kept.write_text("changed")
    assert [p.path for p in verify_products(workshop).problems] == [kept]


def test_an_alert_whose_report_fails_goes_out_and_says_so(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = make_workshop(tmp_path, webhook=hook.url)
    one = candidate()
    workshop.products.events.put_candidates([one])

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("contimg_resources.steps.alerting.report_files", fails)
    assert len(tell_alerts(workshop, now_mjd=NOW).sent) == 1
    body = json.loads(hook.bodies[0])
    assert "files" not in body
    assert "The report for observers can't be made: No space left" in body["text"]


@pytest.mark.parametrize(
    "ivorn", ["http://x.org/a", "ivo://", "ivo://x.org/a#b", "ivo://x.org/a b"]
)
def test_identifiers_that_are_none_are_refused(ivorn: str) -> None:
    with pytest.raises(ValueError, match="ivorn"):
        AlertSettings(ivorn=ivorn)
