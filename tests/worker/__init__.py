"""The worker's tests, in folders that mirror its own."""
