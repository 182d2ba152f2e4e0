"""Token ids to events."""
