#!/usr/bin/env bash
# Replays every recorded case on the binary given.
exec python3 -B test/conformance/play.py compare "$1"
