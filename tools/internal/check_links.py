"""Checks that relative links (and their #anchors) in the Markdown files of the tree lead somewhere. Prints the broken ones."""

import os
import re
import subprocess
import sys

LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def without_code(text):
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^(```|~~~).*?^\1", "", file.read(), flags=re.S | re.M)
    found = set()
    for title in re.findall(r"^#+\s+(.*?)\s*#*$", text, flags=re.M):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = 0
        while (slug if not number else "%s-%d" % (slug, number)) in found:
            number += 1
        found.add(slug if not number else "%s-%d" % (slug, number))
    return found


def broken_links(page):
    with open(page, encoding="utf-8") as file:
        text = without_code(file.read())
    for target in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(full):
            yield "%s: %s does not exist" % (page, target)
        elif anchor and full.endswith(".md") and anchor not in anchors(full):
            yield "%s: %s has no such heading" % (page, target)


def main():
    pages = subprocess.run(["git", "ls-files", "-z", "--", "*.md"], check=True, capture_output=True)
    bad = [line for page in pages.stdout.decode().split("\0") if page and os.path.exists(page)
           for line in broken_links(page)]
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
