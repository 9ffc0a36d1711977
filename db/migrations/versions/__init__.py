"""One module for each revision of the schema; `db.schema.REVISIONS` lists them in order."""
