"""One tracking job on the disk: what is stored, and how a job stops, resumes and is corrected."""
