"""The worker that serves gpt-oss on RunPod, with an SGLang Engine in its own process.

The life of a job:
 1. An entrypoint (`entrypoints/`) takes it and reads its form: a route and a body.
 2. `service.py` looks the route up and has `api/` validate the body as a request.
 3. `harmony/` renders the request's messages and tools as a prompt of token ids.
 4. `engine.py` generates: a stream of steps, each some token ids.
 5. `harmony/` parses the ids into events: reasoning, text, calls.
 6. `api/` makes chunks of the events; a whole answer is the fold of its chunks.
 7. The entrypoint sends them on as it can; an error leaves as an OpenAI error object.
"""
