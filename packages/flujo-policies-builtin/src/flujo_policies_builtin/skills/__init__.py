"""The built-in skills, `flujo.builtins.*`: plain functions that any pipeline may use by their id."""
