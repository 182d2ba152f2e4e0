"""The HTTP door: OpenAI's API for pods and load-balancing endpoints, under uvicorn.

Rule: a client that goes away has aborted its generation; an error before the first byte is an
HTTP status, after it an event of the stream.
"""
