"""The one-command deployment: its plan, and the command against an emulated RunPod account."""
