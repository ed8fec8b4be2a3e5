"""The built-in step kinds, policies and skills of flujo. All of it is registered by `plugin`."""
