"""Keeps and claims work: doorbell, scheduler, job, lease, publication, reaper, supervisor."""
