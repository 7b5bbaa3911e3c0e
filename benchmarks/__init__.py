"""Benchmarks: what the fast path costs beside its peers, in one run on one machine.

Belongs here: scenes, peers, measuring, the page of results.
Doesn't: tests (no time is ever a gate), or any code of the path itself.
"""
