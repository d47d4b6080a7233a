"""Counts test cases from Bazel's event file. Usage: test_summary.py EVENTS BAZEL_EXIT_CODE

A test target without a readable result (crash, timeout, failed build) counts as one failed case. Stale result files of
targets that no longer exist are never looked at, which is why this reads events and not the bazel-testlogs folder.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def count_cases(path):
    """Returns (passed, failed) of one test.xml; skipped cases are neither."""
    passed = failed = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None and case.get("status", "run") == "run":
            passed += 1
    return passed, failed


def summarize(lines):
    """Returns (passed, failed, names of the targets that failed)."""
    results = {}
    unbuilt = set()
    overall = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        identity = event.get("id", {})
        if "testResult" in identity and "testResult" in event:
            key = tuple(sorted(identity["testResult"].items(), key=str))
            results[key] = (identity["testResult"]["label"], event["testResult"])
        elif "testSummary" in identity:
            overall[identity["testSummary"]["label"]] = event.get("testSummary", {}).get("overallStatus", "NO_STATUS")
        elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
            unbuilt.add(identity["targetCompleted"]["label"])
    passed = failed = 0
    bad = {}
    seen = set()
    for label, result in results.values():
        seen.add(label)
        good_target = result.get("status") in ("PASSED", "FLAKY")
        case_passed = case_failed = 0
        for output in result.get("testActionOutput", []):
            if output.get("name") == "test.xml":
                try:
                    path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
                    case_passed, case_failed = count_cases(path)
                except (OSError, KeyError, ElementTree.ParseError):
                    pass
        if good_target and case_passed + case_failed == 0:
            case_passed = 1
        if not good_target and case_failed == 0:
            case_failed = 1
        if case_failed:
            bad[label] = result.get("status", "no result").lower()
        passed += case_passed
        failed += case_failed
    for label in unbuilt | {name for name, status in overall.items() if status == "NO_STATUS"}:
        if label not in seen:
            failed += 1
            bad[label] = "did not build"
    return passed, failed, bad


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as events:
        passed, failed, bad = summarize(events)
    code = int(sys.argv[2])
    if code != 0 and failed == 0:
        failed = 1
        bad["bazel"] = "exit code %d" % code
    for label, why in sorted(bad.items()):
        print("FAILED %s: %s" % (label, why))
    if passed + failed == 0:
        print("no test ran")
        failed = 1
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
