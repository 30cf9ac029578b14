"""The hash database: opens it, gives transactions. All queries live here.

Both engines keep the same promises: SQLite (the default) and PostgreSQL.
"""

from hashdb.store.banks import KEEP
from hashdb.store.database import Store, Transaction
from hashdb.store.schema import downgrade, schema_is_current, upgrade

__all__ = ["KEEP", "Store", "Transaction", "downgrade", "schema_is_current", "upgrade"]
