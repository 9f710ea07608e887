"""What a job found, as plain values: written, read again, compared. Nothing here needs torch."""
