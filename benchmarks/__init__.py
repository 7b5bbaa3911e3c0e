"""Benchmarks: the cost of the steps compared with their peers, in one run on one machine.

Belongs here: scenes, peers, measuring, the page of results.
Doesn't: tests (no test depends on a time), or any code of the steps.
"""
