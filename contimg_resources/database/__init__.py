"""Databases that several processes share.

Belongs here: connections, transactions, migrations, and specifics of SQLite and Postgres.
Doesn't: any table of the registry or the products store.
"""

from contimg_resources.database.store import Database, PartOfStore
from contimg_resources.database.values import mjd_from_unix_s, now_mjd, plain_json

__all__ = ["Database", "PartOfStore", "mjd_from_unix_s", "now_mjd", "plain_json"]
