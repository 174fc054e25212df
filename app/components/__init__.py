"""The parts of pages, one folder per page and `frame` for what all pages share."""
