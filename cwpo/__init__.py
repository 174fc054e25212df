"""The core: everything that needs no database, queue or page."""
