"""Methods that learn a policy from labels that lie on disk, with no reward model."""
