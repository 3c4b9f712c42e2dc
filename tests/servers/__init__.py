"""Real database servers from Debian's packages, started in temporary folders on sockets alone, and stopped again."""
