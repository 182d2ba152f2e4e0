"""A worker that serves gpt-oss on RunPod, using an SGLang Engine in its own process.

How a job is processed:
 1. An entrypoint (`entrypoints/`) receives it and extracts a route and a body.
 2. `service.py` looks up the route and has `api/` validate the body as a request.
 3. `harmony/` renders the request's messages and tools as a prompt of token IDs.
 4. `engine/` generates a stream of steps, each with some token IDs.
 5. `harmony/` parses the IDs into events: reasoning, text, tool calls.
 6. `api/` turns the events into chunks; a non-streamed answer is the fold of its chunks.
 7. The entrypoint delivers them; errors are returned as OpenAI error objects.
"""

__version__ = "0.1.0"
