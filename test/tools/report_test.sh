#!/usr/bin/env bash
exec python3 -B test/tools/report_test.py
