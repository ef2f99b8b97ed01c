"""The report as JUnit XML: one test case per gate. What is not decided is an error, not a failure."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.evaluate.reports.report import Report

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    verdict = report.verdict
    suite = ET.Element("testsuite", name=_clean(report.policy_name))
    whole = ET.SubElement(suite, "testcase", classname=_clean(report.policy_name), name="verdict")
    failures = errors = 0
    if verdict.kind is not VerdictKind.PASS:
        kind = "failure" if verdict.kind is VerdictKind.FAIL else "error"
        ET.SubElement(whole, kind, type=verdict.reason, message=_clean(verdict.message))
        failures, errors = int(kind == "failure"), int(kind == "error")
    for result in (*verdict.gates, *(tag for tag in verdict.tags if tag.state == "Worse")):
        name = f"{result.score}: {result.demands}" + (f" ({result.tag})" if result.tag else "")
        case = ET.SubElement(suite, "testcase", classname=_clean(report.policy_name), name=_clean(name))
        if result.state == "Worse":
            failures += 1
            ET.SubElement(case, "failure", type="Worse", message=_clean(result.text))
        elif result.state != "Proven" and result.must_prove:
            errors += 1
            ET.SubElement(case, "error", type=result.state, message=_clean(result.text))
        elif result.state != "Proven":
            ET.SubElement(case, "skipped", message="No proof is asked for.")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _clean(text: str) -> str:
    """Without the characters that XML cannot carry."""
    return _FORBIDDEN.sub("\ufffd", text)
