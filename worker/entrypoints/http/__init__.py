"""The HTTP server: OpenAI's API for pods and load-balancing endpoints, on uvicorn.

Rule: a client's disconnect aborts its generation. An error before the first byte is sent as an HTTP
status, and later as an event in the stream.
"""
