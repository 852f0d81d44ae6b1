"""The only training loops. Each reads like the pseudocode of its papers."""
