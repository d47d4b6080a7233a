"""The figures of tools/bench on canned data: pairing, refusal of noise, output."""

import json
import sys
import unittest
import xml.dom.minidom

sys.path.insert(0, "tools/benchmark")
import report  # noqa: E402

ROUNDS = [
    {"gatehouse": {"cost": 8.0, "rate": 100.0}, "nginx": {"cost": 10.0, "rate": 90.0}},
    {"gatehouse": {"cost": 9.0, "rate": 110.0}, "nginx": {"cost": 10.0, "rate": 95.0}},
    {"gatehouse": {"cost": 30.0, "rate": 50.0}},  # the peer's window was refused
    {"gatehouse": {"cost": 7.0, "rate": 120.0}, "nginx": {"cost": 10.0, "rate": 99.0}},
]
RESULT = {"scenario": "s", "unit": "us/request", "target": 0.85, "peers": ["gatehouse", "nginx", "envoy"], "rounds": ROUNDS, "refused": 1}


class Report(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        self.assertEqual(report.paired(ROUNDS, "nginx"), [0.8, 0.9, 0.7])
        self.assertEqual(report.summary(ROUNDS, "nginx"), (0.8, 0.7, 0.9))
        self.assertIsNone(report.summary(ROUNDS, "envoy"))

    def test_noise_is_refused(self):
        quiet = {"elapsed": 4.0, "others": 0.5, "steal": 0.02}
        self.assertEqual(report.noisy(quiet), "")
        self.assertIn("processes", report.noisy({**quiet, "others": 0.7}))
        self.assertIn("hypervisor", report.noisy({**quiet, "steal": 0.04}))

    def test_table(self):
        text = report.table([RESULT])
        self.assertIn("gatehouse/nginx 0.800 (0.700..0.900)", text)
        self.assertIn("target 0.85 x nginx", text)
        self.assertIn("envoy      no accepted round", text)

    def test_json_and_svg(self):
        self.assertEqual(json.loads(report.to_json([RESULT], {"a": 1}))["results"][0]["rounds"], ROUNDS)
        drawing = report.svg([RESULT])
        xml.dom.minidom.parseString(drawing)
        self.assertIn("0.85 gatehouse", drawing)  # the medians: 8.5 to 10


if __name__ == "__main__":
    unittest.main()
