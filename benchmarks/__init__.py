"""Measurements that anyone can repeat: side by side in one run, reported as ratios."""
