"""What an administrator turns: scopes, schedules of dumps, the nightly job."""
