"""`kvctl rollout`: how a rollout stands, and asking for it to go on, stop or go back."""
