"""What a finished run gives away: tables, overlays, the report, and the files of other programs."""
