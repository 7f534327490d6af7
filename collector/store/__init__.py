"""SQLite and PostgreSQL: every query of the product, one module per table family, and the migrations."""

from sqlalchemy.engine import Connection

from collector.store.engine import Store, clock
from collector.store.errors import BadCursor, SchemaError, StoreError, TokenRefused
from collector.store.schema import open_store, upgrade

__all__ = [
    "BadCursor",
    "Connection",
    "SchemaError",
    "Store",
    "StoreError",
    "TokenRefused",
    "clock",
    "open_store",
    "upgrade",
]
