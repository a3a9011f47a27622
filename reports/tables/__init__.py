"""The catalogue of tables: each file defines one function of its own name, `(records) -> Table | None`."""
