"""Asynchronous queries: pyvo runs them, and jobs keep the rules of UWS."""

import threading
from typing import Any
from xml.etree import ElementTree

import pytest
import pyvo
import requests

from contimg_resources.core.errors import BadRequest
from contimg_resources.vo import jobs as module
from contimg_resources.vo.jobs import Jobs
from contimg_resources.vo.parameters import Parameters
from contimg_resources.vo.tap import Reply
from tests.vo.conftest import N_SOURCES, Served

QUERY = "SELECT source_id, ra_deg FROM contimg.sources ORDER BY source_id"
UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
HOSTILE = "<b>&\"' \x1b\ufffe"


def of(url: str, method: str = "GET", **options: Any) -> requests.Response:
    return requests.request(method, url, timeout=60, **options)


def made(served: Served, **data: str) -> str:
    answer = of(f"{served.vo}tap/async", "POST", data=data, allow_redirects=False)
    assert answer.status_code == 303
    return answer.headers["location"]


def told(url: str, name: str) -> str | None:
    return ElementTree.fromstring(of(url).content).findtext(f"{UWS}{name}")


def test_pyvo_runs_a_query_asynchronously(served: Served) -> None:
    service = pyvo.dal.TAPService(f"{served.vo}tap")
    found = service.run_async(QUERY)
    assert len(found) == N_SOURCES
    assert list(found["source_id"]) == list(service.search(QUERY)["source_id"])
    with pytest.raises(pyvo.dal.exceptions.DALQueryError, match=r"no column 's_rq'; near: s_ra"):
        service.run_async("SELECT s_rq FROM ivoa.obscore")


def test_a_job_is_prepared_started_and_deleted(served: Served) -> None:
    job = pyvo.dal.TAPService(f"{served.vo}tap").submit_job("SELECT nothing", maxrec=2)
    assert (job.phase, job.uws_version) == ("PENDING", "1.1")
    job.query = QUERY
    assert job.query == QUERY
    job.run().wait(timeout=30)
    assert len(job.fetch_result()) == 2
    assert (job.destruction - job._job.creationtime).to_value("h") == pytest.approx(1)
    assert of(f"{job.url}/phase").text == "COMPLETED"
    assert of(f"{job.url}/parameters", "POST", data={"QUERY": "x"}).status_code == 400
    assert of(f"{job.url}/phase", "POST", data={"PHASE": "STOP"}).status_code == 400
    listed = ElementTree.fromstring(of(f"{job.url}/parameters").content)
    assert {p.get("id"): p.text for p in listed}["MAXREC"] == "2"
    url = job.url
    job.delete()
    for part in ("", "/phase", "/results/result", "/error"):
        assert of(url + part).status_code == 404
    # A job belongs to who knows its address.
    made(served, QUERY=QUERY)
    assert len(ElementTree.fromstring(of(f"{served.vo}tap/async").content)) == 0


def test_text_of_a_request_stays_text(served: Served) -> None:
    url = made(served, QUERY=HOSTILE, LANG="ADQL", PHASE="RUN")
    of(f"{url}?WAIT=20&PHASE=QUEUED")
    of(f"{url}?WAIT=20&PHASE=EXECUTING")
    assert told(url, "phase") == "ERROR"
    document = ElementTree.fromstring(of(url).content)
    (query,) = document.findall(f".//{UWS}parameter[@id='QUERY']")
    assert (query.text or "").startswith("<b>&\"' ")
    reason = document.findtext(f".//{UWS}message") or ""
    assert reason
    assert reason in ElementTree.fromstring(of(f"{url}/error").content).itertext()
    for wrong in (f"{url}/results/result", f"{url}x", f"{url}/..%2fx"):
        assert of(wrong).status_code == 404
    assert of(f"{url}?WAIT=soon").status_code == 400


def test_jobs_wait_for_each_other_and_an_aborted_one_has_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_JOBS", 3)
    going, go_on = threading.Event(), threading.Event()

    def answer(_: Parameters, __: str) -> Reply:
        going.set()
        assert go_on.wait(20)
        return Reply(b"a table", "text/csv")

    jobs = Jobs(answer)
    first, second = (module._Job(str(i), "http://h/", []) for i in range(2))
    for job in (first, second):
        jobs._jobs[job.id] = job
        jobs._change(job, "RUN")
    assert going.wait(20)
    assert {first.phase, second.phase} == {"EXECUTING", "QUEUED"}
    idle = jobs._jobs["idle"] = module._Job("idle", "http://h/", [])
    jobs._make_room()
    assert "idle" not in jobs._jobs
    jobs._jobs["third"] = idle
    jobs._change(idle, "RUN")
    with pytest.raises(BadRequest, match="too many jobs"):
        jobs._make_room()
    for job in (first, idle):
        jobs._change(job, "ABORT")
    go_on.set()
    threads = [t for t in threading.enumerate() if t.name.endswith("(_run)")]
    for thread in threads:
        thread.join(20)
    assert (first.phase, second.phase, idle.phase) == ("ABORTED", "COMPLETED", "ABORTED")
    assert [jobs._file(j).exists() for j in (first, second, idle)] == [False, True, False]
