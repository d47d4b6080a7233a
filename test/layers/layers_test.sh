#!/usr/bin/env bash
exec python3 -B test/layers/layers_test.py
