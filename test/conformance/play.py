"""Records transcripts from Envoy, or compares Gatehouse with them. Usage:
  play.py record ENVOY [GROUP...]          writes transcripts/GROUP.txt
  play.py own GATEHOUSE [GROUP...]         writes transcripts/GROUP.own.txt: what cases with `differs` answer
  play.py compare GATEHOUSE [GROUP...]     exit code 1 and a diff on any difference
"""

import concurrent.futures
import difflib
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "cases")]

import runner  # noqa: E402


def groups(names):
    found = []
    for file in sorted(os.listdir(os.path.join(HERE, "cases"))):
        if file.endswith(".py"):
            found += importlib.import_module(file[:-3]).GROUPS
    unknown = set(names) - {group.name for group in found}
    if unknown:
        sys.exit("no such group: " + ", ".join(sorted(unknown)))
    return [group for group in found if not names or group.name in names]


def path(group, own=False):
    return os.path.join(HERE, "transcripts", group.name + (".own.txt" if own else ".txt"))


def load(group, own=False):
    try:
        with open(path(group, own)) as file:
            return runner.parse(file.read())
    except FileNotFoundError:
        return {}


def expectation(group):
    """Envoy's transcript, with our own words where a case differs on purpose."""
    expected = load(group)
    own = load(group, own=True)
    expected.update(own)
    return expected


def compare(group, seen):
    """Lines that say what is wrong; none when everything is as expected."""
    problems = []
    expected = expectation(group)
    known = {"case " + case.name: case.known for case in group.cases if case.known}
    for name in list(expected) + [name for name in seen if name not in expected]:
        same = expected.get(name) == seen.get(name)
        if name in known:
            if same:
                problems.append(f"{group.name}: {name}: is right now: remove its `known`")
            continue
        if same:
            continue
        diff = difflib.unified_diff(expected.get(name, "").splitlines(), seen.get(name, "").splitlines(),
                                    "expected", "seen", lineterm="", n=2)
        problems.append(f"{group.name}: {name}\n  " + "\n  ".join(list(diff)[2:]))
    return problems


def main(mode, binary, names):
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [(group, pool.submit(runner.run_group, binary, group)) for group in groups(names)]
        for group, future in work:
            seen = future.result()
            if mode == "record":
                with open(path(group), "w") as file:
                    file.write(runner.dump(seen))
            elif mode == "own":
                wanted = {"case " + case.name for case in group.cases if case.differs}
                if wanted:
                    wanted |= {"access log", "stats"}
                    theirs = load(group)
                    mine = {name: text for name, text in seen.items() if name in wanted and text != theirs.get(name)}
                    with open(path(group, own=True), "w") as file:
                        file.write(runner.dump(mine))
            else:
                for problem in compare(group, seen):
                    failed += 1
                    print(problem, flush=True)
    if mode == "compare":
        print(f"{len(work)} groups, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("record", "own", "compare"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
