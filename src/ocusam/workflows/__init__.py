"""One file per job a user has (track an eye, track anything, evaluate), composed from the layers below."""
