"""The HTTP API's OpenAPI document: `python -m builder.openapi` writes it to
worker/entrypoints/http/openapi.json.

Rule: requests are the worker's own pydantic models; responses are defined here (`answers.py`), and
tests check the worker's real responses against them. The worker itself does not serve the document.
"""
