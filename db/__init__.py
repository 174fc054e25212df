"""The truth: tables, migrations, claims, and every read that a page makes."""
