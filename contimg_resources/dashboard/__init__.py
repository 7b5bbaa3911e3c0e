"""A dashboard for observers: static files that read the documents of an export, and serving them.

Belongs here: the pages that a browser shows (`static/`), putting them beside an export, a small
web server. Doesn't: what the documents hold (see `contimg_resources.export`); nothing is computed
here that isn't in them.
"""
