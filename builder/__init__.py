"""Builds the CPU environment, the demo model and the OpenAPI document; never imported by worker."""
