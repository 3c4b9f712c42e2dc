"""What the claims about speed stand on: trees like those of a hosting server, the peers, and the same work for each."""
