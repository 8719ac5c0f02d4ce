"""`kvctl demo`: a good release promoted and a bad one rolled back, on a real control plane, measured from outside."""
