"""Script that Alembic runs; the connection comes from `contimg_resources.database`."""

from contimg_resources.database.migrate import run_migrations

run_migrations()
