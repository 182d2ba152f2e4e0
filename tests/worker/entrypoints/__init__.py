"""Who asks: a job, whatever brings it."""
