"""What every bench shares: how processor time is counted, sampled, judged and printed."""
