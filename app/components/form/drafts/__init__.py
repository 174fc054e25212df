"""Forms as they were left: kept in the database at each change, found again by their address, listed."""
