"""The comparison must see every kind of difference: it is fed doctored answers and has to complain about each."""

import copy
import sys

import play

# name: (section, text to look for, replacement)
DOCTORED = {
    "missing field": ("case get", "client| server: <product>\n", ""),
    "other status": ("case get", "HTTP/1.1 200 OK", "HTTP/1.1 204 No Content"),
    "other order": ("case get", "client| date: <date>\nclient| server: <product>\n", "client| server: <product>\nclient| date: <date>\n"),
    "other case of a name": ("case get", "client| date:", "client| Date:"),
    "other body": ("case get", "client| ok", "client| no"),
    "field to the origin": ("case get", "origin| host: test\n", ""),
    "request to the origin": ("case get", "origin| GET / HTTP/1.1\n", "origin| GET // HTTP/1.1\n"),
    "stat": ("stats", "downstream_rq_3xx: 1", "downstream_rq_3xx: 2"),
    "access log": ("access log", "flags=DC", "flags=-"),
}

group = play.groups(["basics"])[0]
right = play.expectation(group)
failures = [f"the right transcript was refused: {play.compare(group, right)}"] if play.compare(group, right) else []
for name, (section, old, new) in DOCTORED.items():
    wrong = copy.deepcopy(right)
    if old not in wrong[section]:
        failures.append(f"{name}: '{old}' is not in the transcript")
        continue
    wrong[section] = wrong[section].replace(old, new, 1)
    if not play.compare(group, wrong):
        failures.append(f"{name}: not noticed")
wrong = copy.deepcopy(right)
del wrong["case head"]
if not play.compare(group, wrong):
    failures.append("missing case: not noticed")
# A known failure that has gone away must be noticed, one that stays must not.
group.cases[0].known = "a test"
if not play.compare(group, right):
    failures.append("a mended known failure was not noticed")
wrong = copy.deepcopy(right)
wrong["case get"] = "something else\n"
if play.compare(group, wrong):
    failures.append("a known failure was reported")
print("\n".join(failures) or f"{len(DOCTORED) + 4} checks passed")
sys.exit(1 if failures else 0)
