"""Methods that learn a policy from its own samples and a reward."""
