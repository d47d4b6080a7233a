#!/usr/bin/env bash
exec python3 -B test/conformance/selftest.py
