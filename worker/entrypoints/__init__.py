"""Where requests come in: the only places that know who is asking.

Rule: each translates errors at one boundary, and aborts nothing by hand: leaving a generator does.
"""
