"""What a job is given, in the forms users have it: prompts, lists of recordings, views, settings, weights."""
