"""What submitting runs would compute, reuse, take and need."""
