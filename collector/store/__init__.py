"""SQLite and PostgreSQL: every query of the product, one module per table family, and the migrations."""

from sqlalchemy.engine import Connection

from collector.store.engine import Store, clock, open_store
from collector.store.errors import BadCursor, SchemaError, StoreError, TokenRefused
from collector.store.schema import upgrade

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
