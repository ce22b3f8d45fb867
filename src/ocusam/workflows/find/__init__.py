"""Eyes that nobody clicked: the search for their parts, and looking again for a lost track."""
