"""What people look at after a run: overlay videos, and later plots and pages. No torch."""
