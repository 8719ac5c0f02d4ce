"""`kvctl simulate`: what happens to a cluster when something breaks, played event by event; `kvplan` plays."""
