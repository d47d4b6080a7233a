#!/usr/bin/env bash
# Runs a Python program of the tree as a test.
exec python3 -B "$@"
