"""The processing steps, each of which combines the science code with both stores.

The assets and the command line call the same functions. Belongs here: reading the stores, calling
the science code, recording the outcome. Doesn't: Dagster (except in ``resource.py``), printing,
SQL, CASA.

A step takes the workshop (see `workshop`), mostly the partition key of its product or observation,
the id of its run for the history, and a callback for its progress.
"""
