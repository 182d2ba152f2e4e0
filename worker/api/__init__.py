"""OpenAI's API as plain data: validates requests and builds response objects.

Rule: pure. It depends on neither the entrypoints nor the engine.
"""
