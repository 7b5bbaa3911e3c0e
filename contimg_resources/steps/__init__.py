"""The processing steps, each of which combines the science code with both stores.

The assets and the command line call the same functions. Belongs here: reading the stores, calling
the science code, recording the outcome. Doesn't: Dagster (except in ``resource.py``), printing,
SQL, CASA.
"""
