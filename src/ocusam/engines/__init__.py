"""Other programs to run the network with: its parts, exported and compiled."""
