"""What people type: `cwpo …`, the launcher behind `make start`, and the demo."""
