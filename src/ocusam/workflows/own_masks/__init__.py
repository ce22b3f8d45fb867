"""A user's own masks as training data: one file per family of formats, each giving annotated videos."""
