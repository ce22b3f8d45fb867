"""The `ocusam` command: one file per subcommand, which parses, calls one workflow and prints."""
