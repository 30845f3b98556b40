"""Prints every skipped test by name; fails on one that is not allowed to be skipped.

Usage: skips.py REPORTS_FOLDER ALLOWED_FILE
REPORTS_FOLDER: ctest.xml of ctest --output-junit and system/*.xml of pytest --junitxml.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree


def of_ctest(report):
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = case.get("name")
        if case.get("status") == "notrun" or case.find("skipped") is not None:
            yield name, "skipped"
        # cmocka's own skips stand in the output of a test that passed
        for inner in re.findall(r"\[  SKIPPED \] (\w+)", case.findtext("system-out") or ""):
            yield name + ":" + inner, "skipped by the test"


def of_pytest(report):
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if skipped is not None:
            yield "system/%s:%s" % (report.stem, case.get("name")), skipped.get("message") or ""


def main():
    reports, allowed_file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    lines = (line.split("#")[0].strip() for line in allowed_file.read_text().splitlines())
    allowed = {line for line in lines if line}
    skips = list(of_ctest(reports / "ctest.xml"))
    for report in sorted((reports / "system").glob("*.xml")):
        skips += of_pytest(report)
    bad = 0
    for name, reason in sorted(set(skips)):
        good = name in allowed or any(
            one.endswith("*") and name.startswith(one[:-1]) for one in allowed)
        bad += not good
        print("skipped%s: %s (%s)" % ("" if good else ", NOT ALLOWED", name, reason))
    print("%d skipped, %d of them not allowed" % (len(set(skips)), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
