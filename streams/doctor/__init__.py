"""What is wrong with the events of a portal before they go live: `examine` is pure, the command reads."""
