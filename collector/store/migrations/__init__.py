"""The revisions of the schema, run by `schema.upgrade`."""
