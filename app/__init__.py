"""The dashboard: no SQL, no torch, and no change but through workers.api."""
