"""A dashboard for observers: static files that read the documents of an export, and their server.

Belongs here: the pages in a browser (`static/`), copying them into an export, a small web server.
Doesn't: the contents of the documents (see `contimg_resources.export`); the dashboard shows only
their numbers.
"""

#: Address of the maps of the sky, and of their list below it. Here, as the server loads much.
SKY = "sky"
MAPS = "layers.json"
#: List of the tiles of a map, in its directory.
COVERAGE = "coverage.json"
