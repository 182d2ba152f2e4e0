"""The HTTP API's OpenAPI document, docs/openapi.json: `python -m builder.openapi` writes it.

Rule: requests are the pydantic models that the worker reads them with; answers are written down
here (`answers.py`), and tests hold the worker's real answers against them. The worker serves no
document and no page of it.
"""
