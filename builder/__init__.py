"""What builds the CPU environment and the demo model; nothing in the worker imports it."""
