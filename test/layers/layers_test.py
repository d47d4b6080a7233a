"""Folders include only lower layers, extensions include only the public surface, and heavy headers stay where they belong."""

import os
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)
# What an extension may include beside source/sdk, and why.
EXTENSION_ALLOWED = {
    "config": "the registry",
    "formatter": "access loggers render formats",
    "log": "access loggers write through its file writers",
    "base": "small helpers",
    "http": "heads and header maps are part of the public surface",
    "buffer": "so are buffers",
    "stats": "so are counters",
}
NO_PROTOBUF_HEADERS = ("codec", "chain", "router", "proxy")


def read_layers(path):
    rows, friends = {}, {}
    with open(path) as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                rows[words[1]] = int(words[0])
                friends[words[1]] = set(words[2:])
    return rows, friends


def files(root, top):
    for folder, _, names in os.walk(os.path.join(root, top)):
        for name in sorted(names):
            if name.endswith((".cc", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def check(root, layers):
    rows, friends = read_layers(layers)
    problems = []
    for path in files(root, "source"):
        own = path.split(os.sep)[1]
        if own not in rows:
            problems.append(f"{path}: the folder source/{own} has no row in layers.txt")
            continue
        with open(os.path.join(root, path)) as file:
            includes = INCLUDE.findall(file.read())
        for include in includes:
            if include.startswith("source/"):
                other = include.split("/")[1]
                allowed = other == own or other in friends[own] or rows.get(other, 99) < rows[own]
                if not allowed:
                    problems.append(f"{path}: row {rows[own]} may not include {include} (row {rows.get(other, '?')})")
            if include.startswith("boost/") and own != "event":
                problems.append(f"{path}: only source/event includes Boost ({include})")
            if include.endswith(".pb.h") and path.endswith(".h") and own in NO_PROTOBUF_HEADERS:
                problems.append(f"{path}: headers of {own} include no generated code ({include})")
            if include.startswith(("extensions/", "test/")):
                problems.append(f"{path}: the core includes {include}")
    for path in files(root, "extensions"):
        with open(os.path.join(root, path)) as file:
            includes = INCLUDE.findall(file.read())
        for include in includes:
            if include.startswith("source/") and include.split("/")[1] not in {"sdk", *EXTENSION_ALLOWED}:
                problems.append(f"{path}: extensions include source/sdk, not {include}")
    return problems


def self_test():
    """A doctored tree in which each rule is broken once."""
    with tempfile.TemporaryDirectory() as root:
        layers = os.path.join(root, "layers.txt")
        with open(layers, "w") as file:
            file.write("0 base\n1 codec\n1 event\n2 net\n")
        broken = {
            "source/base/a.h": '#include "source/net/b.h"\n',
            "source/codec/a.h": '#include "api/x.pb.h"\n',
            "source/codec/b.cc": '#include "source/event/c.h"\n',
            "source/net/b.h": "#include <boost/asio.hpp>\n",
            "source/net/c.cc": '#include "extensions/x.h"\n',
            "source/new/a.h": "",
            "extensions/x.h": '#include "source/net/b.h"\n',
        }
        right = {
            "source/net/d.h": '#include "source/base/a.h"\n#include "source/net/b.h"\n',
            "source/event/c.h": "#include <boost/asio.hpp>\n",
            "source/codec/c.cc": '#include "api/x.pb.h"\n',
            "extensions/y.h": '#include "source/sdk/s.h"\n',
        }
        for path, text in {**broken, **right}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as file:
                file.write(text)
        found = check(root, layers)
        blamed = {problem.split(":")[0] for problem in found}
        missed = set(broken) - blamed
        wrong = set(right) & blamed
        return [f"self-test: not noticed: {path}" for path in sorted(missed)] + [f"self-test: wrongly blamed: {path}" for path in sorted(wrong)]


if __name__ == "__main__":
    # The sources are no inputs of the test, which therefore always runs: this file is a link to them.
    root = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
    found = self_test() + check(root, os.path.join(root, "test/layers/layers.txt"))
    checked = sum(1 for top in ("source", "extensions") for _ in files(root, top))
    if checked < 100:
        found.append(f"only {checked} files were seen")
    print("\n".join(found) or f"{checked} files respect the layers")
    sys.exit(1 if found else 0)
