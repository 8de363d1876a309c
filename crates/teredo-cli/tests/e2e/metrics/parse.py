"""Reads metrics in the OpenMetrics format with the reference's parser, which is strict, and writes them in the older
text format, which promtool checks."""

import sys

from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families


class Parsed:
    def __init__(self, text):
        self.families = list(text_string_to_metric_families(text))

    def collect(self):
        return self.families


sys.stdout.buffer.write(generate_latest(Parsed(sys.stdin.read())))
