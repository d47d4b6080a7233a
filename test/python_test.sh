#!/usr/bin/env bash
# Runs a Python program of the tree as a test, with the interpreter that Debian packages install for.
exec /usr/bin/python3 -B "$@"
