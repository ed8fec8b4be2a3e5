"""The state backend that keeps runs in one SQLite file; `plugin` offers it to flujo under the scheme `sqlite`."""
