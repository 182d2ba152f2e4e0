"""The API dialects as plain data: validate requests and build response objects.

Rule: pure. It depends on neither the entrypoints nor the engine.
"""
