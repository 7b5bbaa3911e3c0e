"""``python -m contimg_resources`` is ``contimg``."""

from contimg_resources.cli.main import main

main()
