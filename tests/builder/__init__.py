"""The image and the demo model."""
